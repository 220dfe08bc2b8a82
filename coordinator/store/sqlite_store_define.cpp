#include <algorithm>

#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

Result<SqliteStore::Layouts> SqliteStore::layouts_of(Statement& ask, const std::function<void(Statement&)>& bind) {
    Resetting guard(ask);
    bind(ask);
    if (auto row = ask.step(); !row) return pass(row);
    return Layouts{ask.integer(0), ask.integer(1)};
}

Result<SqliteStore::Counts*> SqliteStore::counts_of(const std::string& node) {
    if (const auto known = counts_.find(node); known != counts_.end()) return &known->second;
    Counts counts;
    const auto count = [&](Statement& statement, int64_t& into) -> Result<void> {
        Resetting guard(statement);
        statement.bind(1, std::string_view(node));
        if (auto row = statement.step(); !row) return pass(row);
        into = statement.integer(0);
        return {};
    };
    if (auto done = count(sql_.count_series, counts.series); !done) return pass(done);
    if (auto done = count(sql_.count_devices, counts.devices); !done) return pass(done);
    auto layouts = layouts_of(sql_.layouts_of_node, [&](Statement& ask) { ask.bind(1, std::string_view(node)); });
    if (!layouts) return pass(layouts);
    counts.layouts = *layouts;
    return &(counts_[node] = counts);
}

Result<bool> SqliteStore::has_room_for(Commit& work, const std::string& node, const Layouts& more) {
    for (;;) {
        auto counts = counts_of(node);
        if (!counts) return pass(counts);
        Layouts all = (*counts)->layouts;
        all += more;
        if (all.count <= layouts_per_node_max && all.bytes <= layout_bytes_per_node_max) return true;
        auto forgotten = forget_oldest_stream(work, node);
        if (!forgotten) return pass(forgotten);
        if (!*forgotten) return false;
    }
}

// 0 when the node has as many devices as it may.
Result<int64_t> SqliteStore::device_for(const std::string& node, const std::string& device) {
    {
        Resetting guard(sql_.find_device);
        sql_.find_device.bind(1, std::string_view(node)).bind(2, std::string_view(device));
        auto row = sql_.find_device.step();
        if (!row) return pass(row);
        if (*row) return sql_.find_device.integer(0);
    }
    auto counts = counts_of(node);
    if (!counts) return pass(counts);
    if ((*counts)->devices >= options_.devices_per_node_max) return 0;
    sql_.insert_device.bind(1, std::string_view(node)).bind(2, std::string_view(device));
    if (auto done = sql_.insert_device.run(); !done) return pass(done);
    ++(*counts)->devices;
    return fleet_.last_insert_rowid();
}

// Statements that make 1, 2, … series of a device at once: what a statement costs is much of what a series costs. OR FAIL, because
// what failed in between needs no undoing of its own: the whole transaction is undone.
Result<void> SqliteStore::prepare_series() {
    std::string sql = "INSERT OR FAIL INTO series(device, quantity, unit, kind) VALUES";
    for (Statement& statement : sql_.insert_series) {
        sql += "(?1, ?, ?, ?)";
        auto prepared = fleet_.prepare(sql);
        if (!prepared) return pass(prepared);
        statement = std::move(*prepared);
        sql += ", ";
    }
    return {};
}

// A row's number is the one before it plus 1 (AUTOINCREMENT): the last one's number tells those of all.
Result<void> SqliteStore::make_series(int64_t device, std::span<const Column* const> columns) {
    Statement& insert = sql_.insert_series[columns.size() - 1];
    insert.bind(1, device);
    int at = 1;
    for (const Column* column : columns) {
        insert.bind(++at, std::string_view(column->quantity));
        insert.bind(++at, std::string_view(column->unit));
        insert.bind(++at, static_cast<int64_t>(column->kind));
    }
    return insert.run();
}

// Those that the device has already; 0 for the others.
Result<std::vector<SeriesId>> SqliteStore::known_series(int64_t device, const std::vector<Column>& columns) {
    std::vector<SeriesId> ids(columns.size());
    {
        Resetting guard(sql_.any_series);
        sql_.any_series.bind(1, device);
        auto row = sql_.any_series.step();
        if (!row) return pass(row);
        if (!*row) return ids;  // a new device: not asked once more for each of its columns
    }
    for (size_t c = 0; c < columns.size(); ++c) {
        Resetting guard(sql_.find_series);
        sql_.find_series.bind(1, device).bind(2, std::string_view(columns[c].quantity)).bind(3, std::string_view(columns[c].unit));
        sql_.find_series.bind(4, static_cast<int64_t>(columns[c].kind));
        auto row = sql_.find_series.step();
        if (!row) return pass(row);
        if (*row) ids[c] = sql_.find_series.integer(0);
    }
    return ids;
}

// One of each column, made if need be; 0 when the node has as many series as it may.
Result<std::vector<SeriesId>> SqliteStore::series_for(Commit& work, const std::string& node, int64_t device, const Layout& layout) {
    auto ids = known_series(device, layout.columns);
    if (!ids) return pass(ids);
    auto counts = counts_of(node);
    if (!counts) return pass(counts);
    std::vector<size_t> missing;
    for (size_t c = 0; c < ids->size(); ++c)
        if ((*ids)[c] == 0 && (*counts)->series + static_cast<int64_t>(missing.size()) < options_.series_per_node_max) missing.push_back(c);
    for (size_t done = 0; done < missing.size();) {
        std::array<const Column*, series_a_statement> columns{};
        const size_t n = std::min(missing.size() - done, columns.size());
        for (size_t i = 0; i < n; ++i) columns[i] = &layout.columns[missing[done + i]];
        if (auto made = make_series(device, std::span(columns).first(n)); !made) return pass(made);
        const SeriesId first = fleet_.last_insert_rowid() - static_cast<SeriesId>(n) + 1;
        for (size_t i = 0; i < n; ++i) {
            const SeriesId id = (*ids)[missing[done + i]] = first + static_cast<SeriesId>(i);
            work.result.new_series.push_back({id, node, layout.device, columns[i]->quantity, columns[i]->unit, columns[i]->kind});
        }
        (*counts)->series += static_cast<int64_t>(n);
        done += n;
    }
    return ids;
}

// A definition that comes again is taken as a chance to give series that the budget refused before.
Result<std::string> SqliteStore::define(Commit& work, const IncomingBatch& batch, StreamState& state, const Layout& layout) {
    const auto at = state.layouts.find(layout.id);
    if (at != state.layouts.end()) {
        if (at->second.layout != layout) return "layout " + std::to_string(layout.id) + " was defined otherwise before";
        bool whole = true;
        for (const SeriesId id : at->second.series) whole = whole && id != 0;
        if (whole) return std::string{};
    }
    // Before its series: a definition that is not taken uses up no budget.
    const std::string columns = encode_columns(layout.columns);
    constexpr size_t series_bytes = 4;  // about, of a series' number
    const Layouts more{1, static_cast<int64_t>(layout.device.size() + columns.size() + series_bytes * layout.columns.size())};
    if (at == state.layouts.end()) {
        auto room = has_room_for(work, batch.node, more);
        if (!room) return pass(room);
        if (!*room) return "its node has defined as many layouts, or as long ones, as one may";
    }
    KnownLayout known;
    known.layout = layout;
    auto device = device_for(batch.node, layout.device);
    if (!device) return pass(device);
    known.device = *device;
    known.series.resize(layout.columns.size());
    if (*device != 0) {
        auto series = series_for(work, batch.node, *device, layout);
        if (!series) return pass(series);
        known.series = std::move(*series);
    }
    if (std::ranges::count(known.series, 0) > 0 && !state.budget_told) {
        state.budget_told = true;
        say(work, batch.node,
            "has as many series or devices as it may; readings of device '" + layout.device +
                "' are not all kept (raise store.series_per_node_max or store.devices_per_node_max)");
    }
    const std::string series = encode_ids(known.series);
    sql_.insert_layout.bind(1, to_row(batch.stream)).bind(2, int64_t{layout.id}).bind(3, known.device);
    sql_.insert_layout.bind(4, std::string_view(layout.device)).bind_blob(5, columns).bind_blob(6, series);
    if (auto done = sql_.insert_layout.run(); !done) return pass(done);
    if (at == state.layouts.end()) counts_[batch.node].layouts += more;
    state.layouts[layout.id] = std::move(known);
    return std::string{};
}

}  // namespace basmalin::coordinator
