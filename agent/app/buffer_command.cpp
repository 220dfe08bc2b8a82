#include "agent/app/buffer_command.h"

#include <sys/stat.h>

#include <cstdio>
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

void write_batch(Output& out, const Held& held, bool acked, const BatchView& view, const std::map<uint32_t, Layout>& layouts) {
    const auto find = [&](uint32_t id) -> const Layout* {
        const auto found = layouts.find(id);
        return found == layouts.end() ? nullptr : &found->second;
    };
    auto body = decode_body(view.body, find);
    if (!body) {
        std::fprintf(stderr, "batch %llu: %s\n", static_cast<unsigned long long>(held.header.seq), body.error().message().c_str());
        return;
    }
    for (const Rows& rows : body->groups) {
        const Layout* layout = find(rows.layout);
        if (layout == nullptr) continue;
        for (size_t row = 0; row < rows.times_ms.size(); ++row)
            for (size_t c = 0; c < rows.columns.size(); ++c)
                out.write(held, acked, *layout, layout->columns[c], rows.times_ms[row], value_at(rows.columns[c], row));
    }
}

}  // namespace

int check_buffer(const std::string& file) {
    auto lock = lock_existing(file);
    if (!lock) return complain(lock.error());
    auto db = open_buffer_database(file, true);
    if (!db) return complain(db.error());
    if (auto sound = check_buffer_file(*db, hours(1)); !sound) {
        std::printf("damaged: %s\n", sound.error().message().c_str());
        std::printf("`basmalin-agent buffer repair %s` keeps what is readable; the agent does the same at its next start.\n", file.c_str());
        return 1;
    }
    const auto count = [&](const char* sql) {
        auto n = db->integer(sql);
        return n ? *n : 0;
    };
    std::printf("sound: %lld batches with %lld readings, %lld gap records\n", static_cast<long long>(count("SELECT count(*) FROM batch")),
                static_cast<long long>(count("SELECT ifnull(sum(readings), 0) FROM batch")), static_cast<long long>(count("SELECT count(*) FROM gap")));
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
    auto report = repair_buffer_file(file, SystemClock().wall(), complaint);
    if (!report) return complain(report.error());
    std::printf("repaired: %lld batches kept, %lld known missing (reported to the coordinator as gaps)\nthe damaged file is %s\n",
                static_cast<long long>(report->salvaged_batches), static_cast<long long>(report->missing_batches), report->set_aside.c_str());
    return 0;
}

int export_buffer(const std::string& file, const std::string& format) {
    if (format != "csv" && format != "ndjson") {
        std::fprintf(stderr, "basmalin-agent: '%s' is no format; write csv or ndjson\n", format.c_str());
        return 2;
    }
    {
        auto lock = lock_existing(file);  // taken again by open()
        if (!lock) return complain(lock.error());
        auto db = open_buffer_database(file, true);
        if (!db) return complain(std::move(db.error()).context("repair the buffer first"));
        if (auto sound = check_buffer_file(*db, hours(1)); !sound) return complain(std::move(sound.error()).context("repair the buffer first"));
    }
    auto buffer = Buffer::open(file, {}, 0, SystemClock().wall());
    if (!buffer) return complain(buffer.error());
    std::map<uint32_t, Layout> layouts;
    for (Layout& layout : (*buffer)->layouts()) {
        const uint32_t id = layout.id;
        layouts.emplace(id, std::move(layout));
    }
    Output out(format == "csv");
    auto done = (*buffer)->each([&](const Held& held, bool acked) {
        auto view = open_batch(held.stream, *held.bytes);
        if (!view)
            std::fprintf(stderr, "batch %llu: %s\n", static_cast<unsigned long long>(held.header.seq), view.error().message().c_str());
        else if (view->header.kind == BatchKind::Readings)
            write_batch(out, held, acked, *view, layouts);
        return true;
    });
    if (!done) return complain(done.error());
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace basmalin::agent
