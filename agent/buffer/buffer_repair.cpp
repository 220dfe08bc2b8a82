#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "agent/buffer/buffer_file.h"
#include "agent/buffer/wal_rescue.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr uint32_t head_pages = 256;        // the small tables begin here
constexpr int64_t streams_skipped = 64;     // numbers left out when those of some streams are not known
constexpr uint32_t boots_skipped = 65'536;  // likewise of boots
constexpr int64_t stream_no_max = int64_t{1} << 22;
constexpr uint32_t boot_no_max = uint32_t{1} << 30;
constexpr size_t sources_max = 4;

// What salvage.cpp works off. The stream 0 stands for rows whose stream's id is lost.
constexpr const char* salvage_schema = R"(
CREATE TABLE salvage_source(no INTEGER PRIMARY KEY, file TEXT NOT NULL, next INTEGER NOT NULL);
CREATE TABLE salvage_stream(stream_no INTEGER PRIMARY KEY, id INTEGER NOT NULL, row_known INTEGER NOT NULL, checked INTEGER NOT NULL);
CREATE TABLE salvage_layout(stream_no INTEGER, id INTEGER, bytes BLOB NOT NULL, used INTEGER NOT NULL, held INTEGER NOT NULL,
                            PRIMARY KEY(stream_no, id)) WITHOUT ROWID;
)";

struct OldStream {
    uint64_t id = 0;
    uint64_t floor = 1;
    std::string acked = {};
    bool row_known = false;
};

// What can still be read beside the batches.
struct Remains {
    std::map<int64_t, OldStream> streams;
    bool streams_whole = false;
    std::map<uint32_t, std::pair<BootOffset, uint64_t>> boots;  // with the boot's id
    bool boots_whole = false;
    uint32_t boot_no_max = 0;
    std::map<uint32_t, Layout> layouts;
    std::vector<Gap> gaps;
    std::vector<std::pair<std::string, int64_t>> sources;  // of a salvage that was not finished
    std::map<int64_t, int64_t> ends;                       // by stream: what is salvaged lies below
    int64_t epoch = 0;
};

// True when the end was reached.
template <class Each>
bool read_all(Database& db, const std::string& sql, Each&& each) {
    auto rows = db.prepare(sql);
    if (!rows) return false;
    for (;;) {
        auto row = rows->step();
        if (!row || !*row) return row.has_value();
        each(*rows);
    }
}

void add_boot(Remains& r, int64_t no, uint64_t id, int64_t state, int64_t offset_ms, int64_t error_ms) {
    if (no <= 0 || no > boot_no_max) return;
    const auto boot_no = static_cast<uint32_t>(no);
    r.boots.try_emplace(boot_no, BootOffset{boot_no, state == 1 ? ClockState::Synced : ClockState::Unsynced, offset_ms, error_ms}, id);
    r.boot_no_max = std::max(r.boot_no_max, boot_no);
}

void add_stream_id(Remains& r, int64_t no, int64_t id) {
    if (no > 0 && no < stream_no_max) r.streams.try_emplace(no, OldStream{.id = static_cast<uint64_t>(id)});
}

// As earlier versions noted it.
void add_stream_name(Remains& r, std::string_view key, int64_t id) {
    constexpr std::string_view prefix = "stream ";
    if (!key.starts_with(prefix)) return;
    const int64_t no = std::strtoll(std::string(key.substr(prefix.size())).c_str(), nullptr, 10);
    add_stream_id(r, no, id);
}

// The latest version wins: acks that are too old or too new last until the next welcome.
void add_stream(Remains& r, const RawRow& row) {
    const auto id = static_cast<uint64_t>(row.fields[1].integer);
    const int64_t floor = row.fields[2].integer;
    OldStream& s = r.streams.try_emplace(row.rowid, OldStream{.id = id}).first->second;
    if (s.id != id || floor < 1 || floor >= int64_t{1} << seq_bits) return;
    s = {id, std::max(s.floor, static_cast<uint64_t>(floor)), std::string(row.fields[3].bytes), true};
}

void read_tables(Database& db, Remains& r) {
    r.streams_whole = read_all(db, "SELECT stream_no, id, floor, acked FROM stream", [&](Statement& s) {
        r.streams[s.integer(0)] = {static_cast<uint64_t>(s.integer(1)), static_cast<uint64_t>(std::max<int64_t>(s.integer(2), 1)),
                                   std::string(s.blob(3)), true};
    });
    r.streams_whole = r.streams_whole && !r.streams.empty();
    r.boots_whole = read_all(db, "SELECT boot_no, boot_id, state, offset_ms, error_ms FROM boot", [&](Statement& s) {
        add_boot(r, s.integer(0), static_cast<uint64_t>(s.integer(1)), s.integer(2), s.integer(3), s.integer(4));
    });
    read_all(db, "SELECT id, bytes FROM layout", [&](Statement& s) {
        if (auto layout = decode_layout(static_cast<uint32_t>(s.integer(0)), s.blob(1)))
            r.layouts.try_emplace(layout->id, std::move(*layout));
    });
    read_all(db, "SELECT stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason FROM gap", [&](Statement& s) {
        r.gaps.push_back({static_cast<uint64_t>(s.integer(0)),
                          static_cast<uint64_t>(s.integer(1)),
                          static_cast<uint64_t>(s.integer(2)),
                          static_cast<uint64_t>(s.integer(3)),
                          s.integer(4) != 0,
                          {s.integer(5)},
                          {s.integer(6)},
                          static_cast<GapReason>(std::clamp<int64_t>(s.integer(7), 0, 2))});
    });
    read_all(db, "SELECT stream_no, id FROM stream_id", [&](Statement& s) { add_stream_id(r, s.integer(0), s.integer(1)); });
    read_all(db, "SELECT key, value FROM meta WHERE key LIKE 'stream %'",
             [&](Statement& s) { add_stream_name(r, s.text(0), s.integer(1)); });
    read_all(db, "SELECT value FROM meta WHERE key='epoch'", [&](Statement& s) { r.epoch = s.integer(0); });
    read_all(db, "SELECT stream_no FROM salvage_stream WHERE row_known=0 AND checked >= 0", [&](Statement& row) {
        if (const auto known = r.streams.find(row.integer(0)); known != r.streams.end()) known->second.row_known = false;
    });
    read_all(db, "SELECT key, value FROM meta WHERE key LIKE '" + std::string(salvage_end_key) + "%'",
             [&](Statement& s) { r.ends[std::strtoll(s.text(0).c_str() + salvage_end_key.size(), nullptr, 10)] = s.integer(1); });
    read_all(db, "SELECT file, next FROM salvage_source ORDER BY no",
             [&](Statement& s) { r.sources.emplace_back(s.text(0), s.integer(1)); });
}

// Where no tree leads to a table any more, its rows may still lie at the file's beginning, or in the log.
void read_raw(const std::string& path, std::string_view wal, Remains& r) {
    PageFile main(path);
    const bool streams = !r.streams_whole;
    const bool boots = !r.boots_whole;
    const auto look = [&](const RawRow& row) {
        if (row.is("nbi") && row.rowid > 0 && row.rowid <= UINT32_MAX) {
            const auto id = static_cast<uint32_t>(row.rowid);
            if (auto layout = decode_layout(id, row.fields[1].bytes)) r.layouts.try_emplace(id, std::move(*layout));
        } else if (row.is("niiii") && boots) {
            add_boot(r, row.rowid, static_cast<uint64_t>(row.fields[1].integer), row.fields[2].integer, row.fields[3].integer,
                     row.fields[4].integer);
        } else if (row.is("ti") && streams) {
            add_stream_name(r, row.fields[0].bytes, row.fields[1].integer);
        } else if (row.is("ni") && streams) {
            add_stream_id(r, row.rowid, row.fields[1].integer);
        } else if (row.is("niib") && streams && row.rowid > 0 && row.rowid < stream_no_max) {
            add_stream(r, row);
        }
    };
    const PageOf overflow = [&](uint32_t n) { return main.overflow(n); };
    for (uint32_t n = 1; n <= std::min(main.pages(), head_pages); ++n) each_row(main.page(n), overflow, look);
    each_row_of_log(wal, overflow, look);
    // The boots of batches that only the log has.
    each_row_of_log(wal, overflow, [&](const RawRow& row) {
        const auto stream = r.streams.find(stream_no_of(row.rowid));
        if (stream == r.streams.end()) return;
        if (const auto batch = batch_of(row, stream->second.id))
            r.boot_no_max = std::max(r.boot_no_max, std::min(batch->header.boot_no, boot_no_max));
    });
}

void add_promised(Remains& r, const Promised& promised) {
    if (promised.stream == 0) return;
    OldStream& s = r.streams.try_emplace(promised.stream_no, OldStream{.id = promised.stream}).first->second;
    if (s.id != promised.stream) return;
    s.floor = std::max(s.floor, promised.next_seq);
    r.ends[promised.stream_no] = static_cast<int64_t>(promised.next_seq);
}

Result<void> put_streams(Database& to, const Remains& r) {
    auto put = to.prepare("INSERT INTO stream(stream_no, id, floor, acked) VALUES(?,?,?,?)");
    if (!put) return pass(put);
    auto old = to.prepare("INSERT INTO salvage_stream(stream_no, id, row_known, checked) VALUES(?,?,?,0)");
    if (!old) return pass(old);
    const auto add = [&](int64_t no, const OldStream& s) -> Result<void> {
        if (auto done =
                put->bind(1, no).bind(2, static_cast<int64_t>(s.id)).bind(3, static_cast<int64_t>(s.floor)).bind_blob(4, s.acked).run();
            !done)
            return done;
        return note_stream(to, no, s.id);
    };
    int64_t last_no = 0;
    for (const auto& [no, s] : r.streams) {
        if (auto done = add(no, s); !done) return done;
        if (auto done = old->bind(1, no).bind(2, static_cast<int64_t>(s.id)).bind(3, int64_t{s.row_known}).run(); !done) return done;
        last_no = std::max(last_no, no);
    }
    for (const auto& [no, end] : r.ends) {
        const std::string key = std::string(salvage_end_key) + std::to_string(no);
        if (auto done = to.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('" + key + "'," + std::to_string(end) + ")"); !done)
            return done;
    }
    if (!r.streams_whole) {
        if (auto done = old->bind(1, int64_t{0}).bind(2, static_cast<int64_t>(random_u64())).bind(3, int64_t{0}).run(); !done) return done;
        last_no += streams_skipped;
    }
    return add(last_no + 1, {.id = random_u64()});
}

Result<void> put_remains(Database& to, const Remains& r) {
    auto boot = to.prepare("INSERT OR REPLACE INTO boot(boot_no, boot_id, state, offset_ms, error_ms) VALUES(?,?,?,?,?)");
    if (!boot) return pass(boot);
    for (const auto& [no, known] : r.boots) {
        boot->bind(1, int64_t{no}).bind(2, static_cast<int64_t>(known.second)).bind(3, int64_t{static_cast<uint8_t>(known.first.state)});
        if (auto done = boot->bind(4, known.first.offset_ms).bind(5, known.first.error_ms).run(); !done) return done;
    }
    // A boot number of batches still to be found is never given to another boot.
    const uint32_t last_boot = r.boot_no_max + (r.boots_whole ? 0 : boots_skipped);
    if (last_boot > 0 && !r.boots.contains(last_boot)) {
        boot->bind(1, int64_t{last_boot}).bind(2, int64_t{0}).bind(3, int64_t{0}).bind(4, int64_t{0}).bind(5, int64_t{0});
        if (auto done = boot->run(); !done) return done;
    }
    auto layout = to.prepare("INSERT INTO layout(id, bytes, defined_seq) VALUES(?,?,0)");
    if (!layout) return pass(layout);
    auto of_stream =
        to.prepare("INSERT INTO salvage_layout(stream_no, id, bytes, used, held) SELECT stream_no, ?, ?, 0, 0 FROM salvage_stream");
    if (!of_stream) return pass(of_stream);
    for (const auto& [id, l] : r.layouts) {
        const std::string bytes = encode_layout(l);
        if (auto done = layout->bind(1, int64_t{id}).bind_blob(2, bytes).run(); !done) return done;
        if (auto done = of_stream->bind(1, int64_t{id}).bind_blob(2, bytes).run(); !done) return done;
    }
    for (const Gap& gap : r.gaps)
        if (auto done = insert_gap(to, gap); !done) return done;
    if (r.epoch == 0) return {};
    return to.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch'," + std::to_string(r.epoch) + ")");
}

Result<void> put_sources(Database& to, Remains& r, const std::string& set_aside) {
    r.sources.emplace_back(set_aside.substr(set_aside.find_last_of('/') + 1), 1);
    if (r.sources.size() > sources_max) r.sources.erase(r.sources.begin(), r.sources.end() - sources_max);
    auto put = to.prepare("INSERT INTO salvage_source(file, next) VALUES(?,?)");
    if (!put) return pass(put);
    for (const auto& [file, next] : r.sources)
        if (auto done = put->bind(1, std::string_view(file)).bind(2, next).run(); !done) return done;
    return {};
}

// The new file: what can be read in a moment, and the note of what is to be salvaged. Returns the files named in it.
Result<std::set<std::string>> build(const std::string& path, const std::string& repairing, const std::string& set_aside,
                                    const Promised& promised) {
    auto to = open_buffer_database(repairing, false);
    if (!to) return pass(to);
    if (auto created = create_buffer_tables(*to); !created) return pass(created);
    Remains remains;
    const std::string wal = read_wal(path);
    {
        auto from = open_buffer_database(path, false, true);  // the log's damaged part, too, is to be salvaged
        // A disk that is full just now is no damage: what is there will be read later.
        if (!from && from.error().code != Code::Corrupt && from.error().code != Code::Invalid) return pass(from);
        if (!from) from = Database::open(path, {.main_file_alone = true});
        if (from) read_tables(*from, remains);
    }
    read_raw(path, wal, remains);
    add_promised(remains, promised);
    auto written = to->transaction([&]() -> Result<void> {
        if (auto made = to->execute(salvage_schema); !made) return made;
        if (auto put = put_streams(*to, remains); !put) return put;
        if (auto put = put_remains(*to, remains); !put) return put;
        return put_sources(*to, remains, set_aside);
    });
    if (!written) return pass(written);
    // Only the main file is renamed.
    if (auto moved = to->execute("PRAGMA wal_checkpoint(TRUNCATE)"); !moved) return pass(moved);
    std::set<std::string> sources;
    for (const auto& [file, next] : remains.sources) sources.insert(file);
    return sources;
}

// A repair by root must not lock the agent's own user out.
void give_to_owner_of(const std::string& path, const std::string& file) {
    struct stat s{};
    if (::stat(path.c_str(), &s) != 0) return;
    if (::chown(file.c_str(), s.st_uid, s.st_gid) == 0 || ::geteuid() != 0) ::chmod(file.c_str(), s.st_mode & 0777);
}

void drop(const std::string& file) {
    for (const char* tail : {"", "-wal", "-shm"}) ::unlink((file + tail).c_str());
}

}  // namespace

// Damaged files are evidence, not a backup: only the newest are kept, beside those that are still read.
bool limit_damaged(const std::string& path, size_t kept_max, const std::set<std::string>& in_use) {
    const std::string folder = folder_of(path);
    const std::string prefix = path.substr(path.find_last_of('/') + 1) + ".damaged-";
    std::set<std::pair<size_t, std::string>> names;  // by length, then text: the time's order
    DIR* dir = ::opendir(folder.c_str());
    if (dir == nullptr) return false;
    while (const dirent* entry = ::readdir(dir)) {
        const std::string name = entry->d_name;
        const bool side = name.ends_with("-wal") || name.ends_with("-shm");
        if (name.starts_with(prefix) && !side && !in_use.contains(name)) names.insert({name.size(), name});
    }
    ::closedir(dir);
    const bool too_many = names.size() > kept_max;
    while (names.size() > kept_max) {
        drop(folder + "/" + names.begin()->second);
        names.erase(names.begin());
    }
    return too_many;
}

Result<OpenReport> repair_buffer_file(const std::string& path, WallTime now, const std::string& complaint, const Promised& promised) {
    OpenReport report;
    report.complaint = complaint;
    const std::string repairing = path + ".repairing";
    drop(repairing);
    report.set_aside = path + ".damaged-" + std::to_string(now.ms);
    auto built = build(path, repairing, report.set_aside, promised);
    if (!built) {
        drop(repairing);  // on a full disk it is what fills it
        return pass(built);
    }
    give_to_owner_of(path, repairing);
    for (const char* tail : {"", "-wal"}) {
        const int renamed = ::rename((path + tail).c_str(), (report.set_aside + tail).c_str());
        if (renamed != 0 && errno != ENOENT) return fail(Code::Unavailable, "set aside " + path + tail + ": " + std::strerror(errno));
    }
    ::unlink((path + "-shm").c_str());
    if (::rename(repairing.c_str(), path.c_str()) != 0) return fail(Code::Unavailable, "rename " + repairing + ": " + std::strerror(errno));
    if (auto synced = sync_folder(folder_of(path)); !synced) return pass(synced);
    limit_damaged(path, damaged_kept_max, *built);
    log::error("buffer_set_aside", {{"complaint", complaint}, {"set_aside", report.set_aside}});
    return report;
}

}  // namespace basmalin::agent
