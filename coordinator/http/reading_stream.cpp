#include "coordinator/http/reading_stream.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "shared/base/ids.h"

namespace basmalin::coordinator {
namespace {

// The first rows come soon.
constexpr std::array<int64_t, 3> points_per_page = {500, 4000, 16'000};
constexpr int64_t page_bytes = 1 << 20;  // about: by the rows so far
constexpr size_t piece_bytes = 64 * 1024;
constexpr int64_t buckets_per_piece = 1500;

void append_csv(std::string& out, std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
        out += text;
        return;
    }
    out += '"';
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    out += '"';
}

void append_csv(std::string& out, double v) {
    if (std::isfinite(v)) append_json_number(out, v);
}

void append_csv(std::string& out, const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) append_csv(out, *number);
    else if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
    else append_csv(out, std::string_view(std::get<std::string>(value)));
}

void append_json(std::string& out, const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) append_json_number(out, *number);
    else if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
    else append_json_string(out, std::get<std::string>(value));
}

// The part of a line that is the same for every reading of a series.
std::string middle_of(const SeriesInfo& info, bool csv) {
    std::string out;
    if (csv) {
        for (const std::string* text : {&info.node, &info.device, &info.quantity, &info.unit}) {
            out += ',';
            append_csv(out, std::string_view(*text));
        }
        return out += ',';
    }
    out = ",\"series\":" + std::to_string(info.id);
    for (const auto& [name, text] :
         {std::pair{"node", &info.node}, {"device", &info.device}, {"quantity", &info.quantity}, {"unit", &info.unit}}) {
        out += std::string(",\"") + name + "\":";
        append_json_string(out, *text);
    }
    return out;
}

class ReadingStream {
  public:
    ReadingStream(ReadingPlan plan, std::shared_ptr<ReaderSlot> reader) : plan_(std::move(plan)), reader_(std::move(reader)) {
        plan_.query.answer = random_u64();
        for (const auto& [id, info] : plan_.series) middles_[id] = middle_of(info, plan_.csv);
        if (!plan_.step) return;
        position_ms_ = plan_.query.from.ms;
        if (plan_.cursor.empty()) return;
        if (const auto cursor = parse_bucket_cursor(plan_.cursor)) {
            resume_ = *cursor;
            position_ms_ = std::max(position_ms_, cursor->start_ms - cursor->start_ms % plan_.step->ms);
        }
    }

    // R4
    Result<bool> operator()(std::string& out) {
        if (handed_out_ == rows_.size()) {
            rows_.clear();
            handed_out_ = 0;
            auto more = read_rows(rows_);
            if (!more) return more;
            more_ = *more;
        }
        const size_t bytes = std::min(piece_bytes, rows_.size() - handed_out_);
        out.append(rows_, handed_out_, bytes);
        handed_out_ += bytes;
        return more_ || handed_out_ < rows_.size();
    }

  private:
    Result<bool> read_rows(std::string& out) {
        auto reader = reader_->reader();
        if (!reader) return pass(reader);
        auto more = plan_.step ? buckets(**reader, out) : points(**reader, out);
        bytes_ += static_cast<int64_t>(out.size());
        return more;
    }

    int64_t next_page_points() {
        const int64_t least = points_per_page.front();
        const int64_t most = points_per_page[std::min(pages_++, points_per_page.size() - 1)];
        const int64_t fit = sent_ == 0 ? least : page_bytes / std::max<int64_t>(bytes_ / sent_, 1);
        return std::clamp(fit, least, most);
    }

    Result<bool> points(StoreReader& reader, std::string& out) {
        const auto wanted = static_cast<size_t>(std::min(plan_.limit - sent_, next_page_points()));
        auto page = reader.readings(plan_.query, wanted, plan_.cursor);
        if (!page) return pass(page, "read readings");
        begin(out, "time,node,device,quantity,unit,value,estimated\n");
        for (const ReadingPoint& point : page->points) {
            const auto middle = middles_.find(point.series);
            if (middle == middles_.end()) continue;
            begin_row(out, point.time, middle->second);
            if (plan_.csv) {
                append_csv(out, point.value);
                out += point.estimated ? ",true\n" : ",false\n";
            } else {
                out += ",\"value\":";
                append_json(out, point.value);
                out += point.estimated ? ",\"estimated\":true}" : ",\"estimated\":false}";
            }
            ++sent_;
        }
        plan_.cursor = std::move(page->next);
        if (!plan_.cursor.empty() && sent_ < plan_.limit) return true;
        end(out, plan_.cursor);
        return false;
    }

    Result<bool> buckets(StoreReader& reader, std::string& out) {
        const int64_t step = plan_.step->ms;
        const int64_t end_ms = plan_.query.to.ms;
        const auto series = static_cast<int64_t>(plan_.query.series.size());
        const int64_t until = std::min(end_ms, position_ms_ + std::max<int64_t>(1, buckets_per_piece / series) * step);
        std::vector<Bucket> found;
        if (position_ms_ < until) {
            ReadingQuery window = plan_.query;
            window.from = {position_ms_};
            window.to = {until};
            auto read = reader.buckets(window, *plan_.step);
            if (!read) return pass(read, "read readings by steps");
            found = std::move(*read);
        }
        std::sort(found.begin(), found.end(),
                  [](const Bucket& a, const Bucket& b) { return std::pair(a.start.ms, a.series) < std::pair(b.start.ms, b.series); });
        begin(out, "time,node,device,quantity,unit,min,mean,max,count\n");
        for (const Bucket& bucket : found) {
            const auto middle = middles_.find(bucket.series);
            if (middle == middles_.end() || bucket.count == 0) continue;
            if (std::pair(bucket.start.ms, bucket.series) <= std::pair(resume_.start_ms, resume_.series)) continue;
            if (sent_ >= plan_.limit) {
                end(out, std::to_string(resume_.start_ms) + '.' + std::to_string(resume_.series));
                return false;
            }
            append_bucket(out, bucket, middle->second);
            resume_ = {bucket.start.ms, bucket.series};
            ++sent_;
        }
        position_ms_ = until;
        if (position_ms_ < end_ms) return true;
        end(out, {});
        return false;
    }

    void append_bucket(std::string& out, const Bucket& bucket, const std::string& middle) {
        const double mean = bucket.sum / static_cast<double>(bucket.count);
        begin_row(out, bucket.start, middle);
        if (plan_.csv) {
            for (const double v : {bucket.min, mean, bucket.max}) {
                append_csv(out, v);
                out += ',';
            }
            out += std::to_string(bucket.count) + '\n';
            return;
        }
        for (const auto& [name, v] : {std::pair{",\"min\":", bucket.min}, {",\"mean\":", mean}, {",\"max\":", bucket.max}}) {
            out += name;
            append_json_number(out, v);
        }
        out += ",\"count\":" + std::to_string(bucket.count) + '}';
    }

    void begin(std::string& out, const char* columns) {
        if (begun_) return;
        begun_ = true;
        out += plan_.csv ? columns : "{\"items\":[";
    }
    void begin_row(std::string& out, WallTime time, const std::string& middle) {
        if (plan_.csv) {
            out += to_rfc3339(time) + middle;
            return;
        }
        if (sent_ > 0) out += ",\n";
        out += "{\"time\":\"" + to_rfc3339(time) + '"' + middle;
    }
    void end(std::string& out, const std::string& next) {
        if (plan_.csv) return;
        out += "],\"next\":";
        if (next.empty()) out += "null";
        else append_json_string(out, next);
        out += "}\n";
    }

    ReadingPlan plan_;
    std::shared_ptr<ReaderSlot> reader_;
    std::map<SeriesId, std::string> middles_;
    int64_t position_ms_ = 0;
    BucketCursor resume_;
    std::string rows_;  // of the page read last
    size_t handed_out_ = 0;
    bool more_ = true;  // after rows_
    size_t pages_ = 0;
    int64_t bytes_ = 0;
    int64_t sent_ = 0;
    bool begun_ = false;
};

}  // namespace

Result<BucketCursor> parse_bucket_cursor(const std::string& text) {
    BucketCursor cursor;
    const char* end = text.data() + text.size();
    const auto start = std::from_chars(text.data(), end, cursor.start_ms);
    const bool dot = start.ec == std::errc() && start.ptr != end && *start.ptr == '.';
    const auto series = dot ? std::from_chars(start.ptr + 1, end, cursor.series) : start;
    if (!dot || series.ec != std::errc() || series.ptr != end || cursor.start_ms < 0 || cursor.series < 0) {
        return fail(Code::Invalid, "'" + text.substr(0, 64) + "' is no place to go on",
                    "take `next` of the answer before, with the same step");
    }
    return cursor;
}

BodyStream stream_readings(ReadingPlan plan, std::shared_ptr<ReaderSlot> reader) {
    return [stream = std::make_shared<ReadingStream>(std::move(plan), std::move(reader))](std::string& out) { return (*stream)(out); };
}

}  // namespace basmalin::coordinator
