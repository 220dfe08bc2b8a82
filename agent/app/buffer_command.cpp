#include "agent/app/buffer_command.h"

#include <sys/stat.h>

#include <cstdio>
#include <functional>
#include <map>

#include "agent/buffer/buffer_file.h"
#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/series/codec.h"

namespace basmalin::agent {
namespace {

int complain(const Error& error) {
    std::fprintf(stderr, "basmalin-agent: %s\n", error.message().c_str());
    return 1;
}

Result<FileLock> lock_existing(const std::string& file) {
    struct stat what{};
    if (::stat(file.c_str(), &what) != 0 || !S_ISREG(what.st_mode)) return fail(Code::NotFound, file + ": no such file", "name the buffer's file, usually STATE_FOLDER/buffer.db");
    auto lock = FileLock::take(file);
    if (!lock) {
        Error error = std::move(lock.error());
        if (error.code == Code::Conflict) error.hint = "stop the agent first";
        return std::unexpected(std::move(error));
    }
    return lock;
}

// One line of the export: a CSV record, or a JSON object.
class Output {
  public:
    explicit Output(bool csv) : csv_(csv) {
        if (csv_) std::puts("stream,seq,acked,time,clock,device,quantity,unit,value");
    }
    void write(const Held& held, bool acked, const Layout& layout, const Column& column, int64_t mono_ms, const Json& value) {
        const BatchHeader& h = held.header;
        const std::string time = to_rfc3339(WallTime{mono_ms + h.sealed_wall.ms - h.sealed_mono.ms});
        if (!csv_) {
            const Json line(Json::Object{{"stream", to_text(held.stream)}, {"seq", h.seq}, {"acked", acked}, {"time", time}, {"clock", to_string(h.clock)},
                                         {"device", layout.device}, {"quantity", column.quantity}, {"unit", column.unit}, {"value", value}});
            std::puts(line.dump().c_str());
            return;
        }
        const std::string shown = value.is_string() ? value.as_string() : value.dump();
        const std::string line = to_text(held.stream) + ',' + std::to_string(h.seq) + ',' + (acked ? "true" : "false") + ',' + time + ',' + to_string(h.clock) + ',' +
                                 quoted(layout.device) + ',' + quoted(column.quantity) + ',' + quoted(column.unit) + ',' + quoted(shown);
        std::puts(line.c_str());
    }

  private:
    static std::string to_text(uint64_t id) {
        char out[24];
        std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(id));
        return out;
    }
    // RFC 4180.
    static std::string quoted(const std::string& text) {
        if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
        std::string out = "\"";
        for (const char c : text) {
            if (c == '"') out += '"';
            out += c;
        }
        return out + '"';
    }
    bool csv_;
};

Json value_at(const ColumnValues& values, size_t row) {
    if (const auto* numbers = std::get_if<Numbers>(&values)) return Json((*numbers)[row]);
    if (const auto* booleans = std::get_if<Booleans>(&values)) return Json((*booleans)[row] != 0);
    return Json(std::get<Texts>(values)[row]);
}

// True when all of it could be written.
bool write_batch(Output& out, const Held& held, bool acked, const BatchView& view, const std::map<uint32_t, Layout>& layouts) {
    const auto find = [&](uint32_t id) -> const Layout* {
        const auto found = layouts.find(id);
        return found == layouts.end() ? nullptr : &found->second;
    };
    auto body = decode_body(view.body, find);
    if (!body) {
        std::fprintf(stderr, "batch %llu: %s\n", static_cast<unsigned long long>(held.header.seq), body.error().message().c_str());
        return false;
    }
    for (const Rows& rows : body->groups) {
        const Layout* layout = find(rows.layout);
        if (layout == nullptr) return false;
        for (size_t row = 0; row < rows.times_ms.size(); ++row)
            for (size_t c = 0; c < rows.columns.size(); ++c)
                out.write(held, acked, *layout, layout->columns[c], rows.times_ms[row], value_at(rows.columns[c], row));
    }
    return true;
}

// Every row of the file, which is only read. What is damaged is told on standard error, row by row.
struct Contents {
    int64_t batches = 0;   // sound ones
    int64_t readings = 0;  // in them
    int64_t damaged = 0;
    std::string unreadable;  // why the reading ended before the end
};
Contents read_rows(Database& db, const std::function<void(const Held&, const BatchView&, bool acked)>& visit) {
    Contents found;
    struct Stream {
        uint64_t id = 0;
        SeqSet acked;
    };
    std::map<int64_t, Stream> streams;
    const auto each = [&](const std::string& sql, const std::function<void(Statement&)>& row_of) {
        auto rows = db.prepare(sql);
        if (!rows) {
            found.unreadable = rows.error().text;
            return;
        }
        for (;;) {
            auto row = rows->step();
            if (!row) found.unreadable = row.error().text;
            if (!row || !*row) return;
            row_of(*rows);
        }
    };
    each("SELECT stream_no, id, acked FROM stream", [&](Statement& s) { streams[s.integer(0)] = {static_cast<uint64_t>(s.integer(1)), decode_acked(s.blob(2))}; });
    each("SELECT " + std::string(batch_columns) + " FROM batch ORDER BY id", [&](Statement& s) {
        const int64_t id = s.integer(0);
        const auto stream = streams.find(stream_no_of(id));
        Held held{.id = id, .stream = stream == streams.end() ? 0 : stream->second.id, .header = {}, .bytes = std::make_shared<const std::string>(s.blob(5))};
        auto view = open_batch(held.stream, *held.bytes);
        std::string fault;
        if (stream == streams.end()) fault = "of no stream of this file";
        else if (!view) fault = view.error().message();
        else if (view->header.seq != seq_of(id)) fault = "under the number of another batch";
        if (!fault.empty()) {
            ++found.damaged;
            std::fprintf(stderr, "batch %llu of stream %016llx: %s\n", static_cast<unsigned long long>(seq_of(id)), static_cast<unsigned long long>(held.stream), fault.c_str());
            return;
        }
        held.header = view->header;
        ++found.batches;
        found.readings += int64_t{held.header.readings};
        visit(held, *view, stream->second.acked.contains(held.header.seq));
    });
    return found;
}

}  // namespace

int check_buffer(const std::string& file) {
    auto lock = lock_existing(file);
    if (!lock) return complain(lock.error());
    auto db = open_buffer_database(file, true);
    if (!db) return complain(db.error());
    auto sound = check_buffer_file(*db, hours(1));
    const Contents found = read_rows(*db, [](const Held&, const BatchView&, bool) {});
    if (sound && !found.unreadable.empty()) sound = fail(Code::Corrupt, found.unreadable);
    if (!sound) {
        std::printf("damaged: %s\n", sound.error().message().c_str());
        std::printf("`basmalin-agent buffer repair %s` keeps what is readable; the agent does the same at its next start.\n", file.c_str());
        return 1;
    }
    if (found.damaged > 0) {
        const int64_t all = found.batches + found.damaged;
        std::printf("damaged: %lld of %lld batches; the agent leaves them out and tells the coordinator of the gap\n", static_cast<long long>(found.damaged),
                    static_cast<long long>(all));
        return 1;
    }
    const auto gaps = db->integer("SELECT count(*) FROM gap");
    std::printf("sound: %lld batches with %lld readings, %lld gap records\n", static_cast<long long>(found.batches), static_cast<long long>(found.readings),
                static_cast<long long>(gaps ? *gaps : 0));
    return 0;
}

int repair_buffer(const std::string& file) {
    auto lock = lock_existing(file);
    if (!lock) return complain(lock.error());
    std::string complaint;
    if (auto db = open_buffer_database(file, true); !db) {
        if (db.error().code != Code::Corrupt) return complain(db.error());
        complaint = db.error().text;
    } else if (auto sound = check_buffer_file(*db, hours(1)); !sound) {
        complaint = sound.error().text;
    } else {
        std::puts("sound: nothing to repair");
        return 0;
    }
    // As the agent does it at its start, and to the end.
    *lock = {};
    BufferOptions options;
    options.rebuild_because = complaint;
    options.salvage_at_start = hours(24);
    options.bytes_max = INT64_MAX;
    auto buffer = Buffer::open(file, options, 0, SystemClock().wall());
    if (!buffer) return complain(buffer.error());
    const OpenReport& report = (*buffer)->opened();
    if (report.salvaging) return complain(fail(Code::Unavailable, "the rest of " + report.set_aside + " could not be kept", "free space on this disk; the agent goes on with it").error());
    std::printf("repaired: %lld batches kept, %lld known missing (reported to the coordinator as gaps)\nthe damaged file is %s\n",
                static_cast<long long>(report.salvaged_batches), static_cast<long long>(report.missing_batches), report.set_aside.c_str());
    return 0;
}

int export_buffer(const std::string& file, const std::string& format) {
    if (format != "csv" && format != "ndjson") {
        std::fprintf(stderr, "basmalin-agent: '%s' is no format; write csv or ndjson\n", format.c_str());
        return 2;
    }
    auto lock = lock_existing(file);
    if (!lock) return complain(lock.error());
    auto db = open_buffer_database(file, true);
    if (!db) return complain(std::move(db.error()).context("repair the buffer first"));
    if (auto sound = check_buffer_file(*db, hours(1)); !sound) return complain(std::move(sound.error()).context("repair the buffer first"));
    auto known = read_layouts(*db);
    if (!known) return complain(known.error());
    std::map<uint32_t, Layout> layouts;
    for (Layout& layout : *known) {
        const uint32_t id = layout.id;
        layouts.emplace(id, std::move(layout));
    }
    Output out(format == "csv");
    int64_t undecoded = 0;
    const Contents found = read_rows(*db, [&](const Held& held, const BatchView& view, bool acked) {
        if (view.header.kind == BatchKind::Readings && !write_batch(out, held, acked, view, layouts)) ++undecoded;
    });
    const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (!written) std::fprintf(stderr, "basmalin-agent: standard output did not take all of it\n");
    if (!found.unreadable.empty()) return complain(fail(Code::Corrupt, found.unreadable).error().context("the rest is left out; repair the buffer first"));
    const int64_t all = found.batches + found.damaged;
    const int64_t left_out = found.damaged + undecoded;
    if (left_out > 0)
        std::fprintf(stderr, "basmalin-agent: %lld of %lld batches could not be read and are left out\n", static_cast<long long>(left_out),
                     static_cast<long long>(all));
    return written && left_out == 0 ? 0 : 1;
}

}  // namespace basmalin::agent
