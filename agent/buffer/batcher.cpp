#include "agent/buffer/batcher.h"

#include <algorithm>
#include <set>

#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr size_t number_bytes_max = 11;
constexpr size_t row_bytes_max = 12;
constexpr size_t group_bytes_max = 16;

std::string key_of(const std::string& device, const std::vector<Column>& columns) {
    std::string key = device;
    for (const Column& c : columns) {
        key += '\0';
        key += c.quantity;
        key += '\0';
        key += c.unit;
        key += static_cast<char>(c.kind);
    }
    return key;
}

uint8_t decimals_for(const Value& value) {
    const auto* number = std::get_if<double>(&value);
    if (number == nullptr) return 0;
    const int decimals = decimals_of(*number);
    return decimals < 0 ? uint8_t{0} : static_cast<uint8_t>(decimals);
}

std::vector<Column> columns_of(const std::vector<const Measurement*>& row) {
    std::vector<Column> columns;
    columns.reserve(row.size());
    for (const Measurement* m : row) columns.push_back({m->quantity, m->unit, kind_of(m->value), decimals_for(m->value)});
    return columns;
}

size_t definition_bytes(const Layout& layout) {
    size_t bytes = layout.device.size() + 12;
    for (const Column& c : layout.columns) bytes += c.quantity.size() + c.unit.size() + 6;
    return bytes;
}

size_t row_bytes(const std::vector<const Measurement*>& row) {
    size_t bytes = row_bytes_max;
    for (const Measurement* m : row) {
        const auto* text = std::get_if<std::string>(&m->value);
        bytes += text != nullptr ? text->size() + 5 : number_bytes_max;
    }
    return bytes;
}

ColumnValues empty_column(ValueKind kind) {
    if (kind == ValueKind::Boolean) return Booleans{};
    if (kind == ValueKind::Text) return Texts{};
    return Numbers{};
}

void push_value(ColumnValues& column, const Value& value) {
    if (auto* numbers = std::get_if<Numbers>(&column)) numbers->push_back(std::get<double>(value));
    if (auto* booleans = std::get_if<Booleans>(&column)) booleans->push_back(std::get<bool>(value) ? 1 : 0);
    if (auto* texts = std::get_if<Texts>(&column)) texts->push_back(std::get<std::string>(value));
}

}  // namespace

Batcher::Batcher(BatcherLimits limits) : limits_(limits) {}

void Batcher::restore(const std::vector<Layout>& known, uint32_t last_id) {
    last_id_ = std::max(last_id_, last_id);
    for (const Layout& layout : known) {
        last_id_ = std::max(last_id_, layout.id);
        Known& entry = known_[key_of(layout.device, layout.columns)];
        if (!entry.layout) ++layouts_of_device_[layout.device];
        // The successor of a layout (R4) has the same key and a higher id.
        if (!entry.layout || entry.layout->id < layout.id) entry = {std::make_shared<const Layout>(layout), 0, {}};
    }
    counts_.layouts = known_.size();
}

bool Batcher::acceptable(const Measurement& m) const {
    const auto* text = std::get_if<std::string>(&m.value);
    if (text != nullptr && text->size() > limits_.text_bytes_max) return false;
    return is_label(m.quantity) && m.unit.size() <= 64;
}

void Batcher::add(const Sample& sample, Priority priority, MonoTime now) {
    if (sample.alarm) priority = Priority::Alarm;
    if (!is_label(sample.device)) {
        counts_.refused += sample.measurements.size();
        return;
    }
    // A row takes columns_max columns, each quantity once, and fits a batch whatever its texts.
    size_t begin = 0;
    size_t text_bytes = 0;
    std::set<std::string_view> names;
    for (size_t i = 0; i < sample.measurements.size(); ++i) {
        const Measurement& m = sample.measurements[i];
        const auto* text = std::get_if<std::string>(&m.value);
        const size_t bytes = text == nullptr ? 0 : text->size();
        const bool repeated = !names.insert(m.quantity).second;
        if (!repeated && i - begin < limits_.columns_max && text_bytes + bytes <= limits_.body_bytes_max / 3) {
            text_bytes += bytes;
            continue;
        }
        add_row(sample, begin, i, priority, now);
        begin = i;
        text_bytes = bytes;
        names = {m.quantity};
    }
    add_row(sample, begin, sample.measurements.size(), priority, now);
}

void Batcher::add_row(const Sample& sample, size_t begin, size_t end, Priority priority, MonoTime now) {
    std::vector<const Measurement*> row;
    for (size_t i = begin; i < end; ++i) {
        if (acceptable(sample.measurements[i]))
            row.push_back(&sample.measurements[i]);
        else
            ++counts_.refused;
    }
    if (row.empty()) return;
    if (!make_room(row.size(), priority, MonoTime{INT64_MAX})) {
        counts_.dropped_unsealed += row.size();
        return;
    }
    Open& open = open_[static_cast<size_t>(priority)];
    const auto put = [&](const std::vector<const Measurement*>& part) {
        Known* known = layout_for(sample.device, part);
        if (known == nullptr) {
            counts_.refused += part.size();
            return;
        }
        const size_t bytes = row_bytes(part) + group_bytes_max + definition_bytes(*known->layout);
        if (open.draft.readings > 0 &&
            (open.bytes_estimate + bytes > limits_.body_bytes_max || open.draft.readings + part.size() > limits_.readings_max))
            close(open);
        if (open.draft.readings == 0) open.since = now;
        append(open, *known, part, sample.time);
        open.draft.priority = priority;
        if (open.draft.readings >= limits_.readings_max) close(open);
    };
    const bool crowded = layouts_of_device_[sample.device] >= limits_.layouts_per_device_max;
    if (crowded && row.size() > 1 && !known_.contains(key_of(sample.device, columns_of(row)))) {
        for (const Measurement* m : row) put({m});  // R5
    } else {
        put(row);
    }
    if (priority == Priority::Alarm && open.draft.readings > 0) close(open);
}

Batcher::Known* Batcher::layout_for(const std::string& device, const std::vector<const Measurement*>& row) {
    std::vector<Column> columns = columns_of(row);
    const std::string key = key_of(device, columns);
    const auto found = known_.find(key);
    if (found == known_.end()) return new_layout(key, device, std::move(columns));
    note_decimals(found->second, key, row);
    return &known_.at(key);
}

Batcher::Known* Batcher::new_layout(const std::string& key, const std::string& device, std::vector<Column> columns) {
    const auto found = known_.find(key);
    if (found == known_.end() && known_.size() >= limits_.layouts_max) {
        counts_.layouts_full = true;
        return nullptr;
    }
    if (found == known_.end()) ++layouts_of_device_[device];
    Known& known = known_[key];
    known = {std::make_shared<const Layout>(Layout{++last_id_, device, std::move(columns)}), 0, {}};
    counts_.layouts = known_.size();
    return &known;
}

void Batcher::note_decimals(Known& known, const std::string& key, const std::vector<const Measurement*>& row) {
    const std::vector<Column>& columns = known.layout->columns;
    bool wider = false;
    std::vector<uint8_t> needed(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
        needed[i] = decimals_for(row[i]->value);
        wider = wider || needed[i] > columns[i].decimals;
    }
    if (!wider) {
        // A value with fewer digits (21.40 prints as 21.4) says nothing against more decimals: forget slowly.
        if (known.wider_rows > 0) --known.wider_rows;
        return;
    }
    known.wider_decimals.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) known.wider_decimals[i] = std::max(known.wider_decimals[i], needed[i]);
    if (++known.wider_rows < limits_.wider_rows_min) return;
    std::vector<Column> grown = columns;
    for (size_t i = 0; i < grown.size(); ++i) grown[i].decimals = std::max(grown[i].decimals, known.wider_decimals[i]);
    const std::string device = known.layout->device;
    new_layout(key, device, std::move(grown));
}

void Batcher::append(Open& open, const Known& known, const std::vector<const Measurement*>& row, MonoTime time) {
    const uint32_t id = known.layout->id;
    const auto [place, is_new] = open.group_of.try_emplace(id, open.draft.groups.size());
    if (is_new) {
        Rows rows{.layout = id, .times_ms = {}, .columns = {}};
        for (const Column& c : known.layout->columns) rows.columns.push_back(empty_column(c.kind));
        open.draft.groups.push_back(std::move(rows));
        open.draft.layouts.push_back(known.layout);
        open.bytes_estimate += group_bytes_max + definition_bytes(*known.layout);
    }
    Rows& rows = open.draft.groups[place->second];
    rows.times_ms.push_back(time.ms);
    for (size_t i = 0; i < row.size(); ++i) push_value(rows.columns[i], row[i]->value);
    open.draft.first = open.draft.readings == 0 ? time : std::min(open.draft.first, time);
    open.draft.readings += static_cast<uint32_t>(row.size());
    open.bytes_estimate += row_bytes(row);
    pending_readings_ += row.size();
    counts_.readings += row.size();
}

bool Batcher::make_room(size_t readings, Priority priority, MonoTime first) {
    const auto gives_way = [&](const Draft& d, Priority of) {
        return d.readings > 0 && d.priority == of && (of > priority || (of == priority && d.first > first));
    };
    const auto is_full = [&] { return pending_readings_ + readings > limits_.pending_readings_max; };
    if (!is_full()) return true;
    size_t droppable = 0;
    for (const Priority of : {Priority::Low, Priority::Normal}) {
        for (const Open& open : open_) droppable += gives_way(open.draft, of) ? open.draft.readings : 0;
        for (const Waiting& w : waiting_) droppable += gives_way(w.draft, of) ? w.draft.readings : 0;
    }
    if (pending_readings_ - droppable + readings > limits_.pending_readings_max) return false;
    const auto drop = [&](const Draft& d) {
        pending_readings_ -= d.readings;
        counts_.dropped_unsealed += d.readings;
    };
    for (const Priority of : {Priority::Low, Priority::Normal}) {
        Open& open = open_[static_cast<size_t>(of)];
        if (is_full() && gives_way(open.draft, of)) {
            drop(open.draft);
            open = {};
        }
        while (is_full()) {
            const auto newest = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const Waiting& w) { return gives_way(w.draft, of); });
            if (newest == waiting_.rend()) break;
            drop(newest->draft);
            waiting_.erase(std::next(newest).base());
        }
    }
    return true;
}

void Batcher::close(Open& open) {
    Waiting closed{std::move(open.draft), MonoTime{INT64_MIN}};
    open = {};
    if (closed.draft.priority == Priority::Alarm) {
        const auto normal = std::find_if(waiting_.begin(), waiting_.end(), [](const Waiting& w) { return w.draft.priority != Priority::Alarm; });
        waiting_.insert(normal, std::move(closed));
    } else {
        waiting_.push_back(std::move(closed));
    }
}

std::vector<Draft> Batcher::take(MonoTime now, bool everything) {
    for (size_t p = 0; p < open_.size(); ++p) {
        Open& open = open_[p];
        const Duration wait = p == static_cast<size_t>(Priority::Low) ? limits_.low_seal_after : limits_.seal_after;
        if (open.draft.readings > 0 && (everything || now >= open.since + wait)) close(open);
    }
    std::vector<Draft> due_now;
    std::deque<Waiting> later;
    for (Waiting& w : waiting_) {
        if (!everything && w.not_before > now) {
            later.push_back(std::move(w));
            continue;
        }
        pending_readings_ -= w.draft.readings;
        due_now.push_back(std::move(w.draft));
    }
    waiting_ = std::move(later);
    return due_now;
}

std::optional<MonoTime> Batcher::due() const {
    std::optional<MonoTime> earliest;
    const auto consider = [&](MonoTime t) { earliest = earliest ? std::min(*earliest, t) : t; };
    for (const Waiting& w : waiting_) consider(w.not_before);
    for (size_t p = 0; p < open_.size(); ++p) {
        if (open_[p].draft.readings == 0) continue;
        consider(open_[p].since + (p == static_cast<size_t>(Priority::Low) ? limits_.low_seal_after : limits_.seal_after));
    }
    return earliest;
}

void Batcher::put_back(Draft draft, MonoTime retry_at) {
    if (!make_room(draft.readings, draft.priority, draft.first)) {
        counts_.dropped_unsealed += draft.readings;
        return;
    }
    pending_readings_ += draft.readings;
    // Before younger ones, after those that came back earlier with the same retry time.
    const auto younger = std::find_if(waiting_.begin(), waiting_.end(), [](const Waiting& w) { return w.not_before.ms == INT64_MIN; });
    waiting_.insert(younger, Waiting{std::move(draft), retry_at});
}

}  // namespace basmalin::agent
