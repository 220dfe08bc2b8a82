#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include "agent/buffer/buffer_file.h"
#include "agent/buffer/eviction.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"

namespace basmalin::agent {
namespace {

constexpr size_t damaged_kept_max = 2;
constexpr int probes_max = 100'000;
constexpr size_t rows_per_transaction = 2000;
// Beyond the floor there is no telling how many were sealed: the search ends here.
constexpr uint64_t seqs_past_floor_max = uint64_t{1} << 24;

struct OldStream {
    uint64_t id = 0;
    uint64_t floor = 1;
    std::string acked;
    bool acked_known = false;
};

// What can still be read beside the batches.
struct Remains {
    std::map<int64_t, OldStream> streams;
    std::vector<BootOffset> boots;
    std::vector<uint64_t> boot_ids;
    std::vector<Layout> layouts;
    std::vector<Gap> gaps;
    int64_t epoch = 0;
};

template <class Each>
void read_all(Database& db, const std::string& sql, Each&& each) {
    auto rows = db.prepare(sql);
    if (!rows) return;
    for (;;) {
        auto row = rows->step();
        if (!row || !*row) return;
        each(*rows);
    }
}

Remains read_remains(Database& db) {
    Remains r;
    read_all(db, "SELECT stream_no, id, floor, acked FROM stream", [&](Statement& s) {
        r.streams[s.integer(0)] = {static_cast<uint64_t>(s.integer(1)), static_cast<uint64_t>(std::max<int64_t>(s.integer(2), 1)),
                                   std::string(s.blob(3)), true};
    });
    read_all(db, "SELECT boot_no, boot_id, state, offset_ms, error_ms FROM boot", [&](Statement& s) {
        r.boots.push_back({static_cast<uint32_t>(s.integer(0)), s.integer(2) == 1 ? ClockState::Synced : ClockState::Unsynced, s.integer(3), s.integer(4)});
        r.boot_ids.push_back(static_cast<uint64_t>(s.integer(1)));
    });
    read_all(db, "SELECT id, bytes FROM layout", [&](Statement& s) {
        if (auto layout = decode_layout(static_cast<uint32_t>(s.integer(0)), s.blob(1))) r.layouts.push_back(std::move(*layout));
    });
    read_all(db, "SELECT stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason FROM gap", [&](Statement& s) {
        r.gaps.push_back({static_cast<uint64_t>(s.integer(0)), static_cast<uint64_t>(s.integer(1)), static_cast<uint64_t>(s.integer(2)),
                          static_cast<uint64_t>(s.integer(3)), s.integer(4) != 0, {s.integer(5)}, {s.integer(6)},
                          static_cast<GapReason>(std::clamp<int64_t>(s.integer(7), 0, 2))});
    });
    read_all(db, "SELECT value FROM meta WHERE key='epoch'", [&](Statement& s) { r.epoch = s.integer(0); });
    return r;
}

struct Row {
    int64_t id = 0;
    int64_t priority = 0;
    int64_t kind = 0;
    int64_t readings = 0;
    int64_t first_wall = 0;
    std::string bytes;
};

// Reads rows in order until the end or the first error. True: the end was reached.
template <class Each>
bool read_between(Database& db, int64_t from, int64_t last, Each&& each) {
    auto rows = db.prepare("SELECT " + std::string(batch_columns) + " FROM batch WHERE id BETWEEN ? AND ? ORDER BY id");
    if (!rows) return false;
    rows->bind(1, from).bind(2, last);
    for (;;) {
        auto row = rows->step();
        if (!row) return false;
        if (!*row) return true;
        each(Row{rows->integer(0), rows->integer(1), rows->integer(2), rows->integer(3), rows->integer(4), std::string(rows->blob(5))});
    }
}

// Every readable row. After a place that cannot be read it feels its way on, first by ones, then by doubling steps.
template <class Each>
void read_around_damage(Database& db, int64_t first_possible, int64_t last_possible, Each&& each) {
    int64_t from = first_possible;
    int probes = 0;
    int64_t step = 1;
    while (from <= last_possible && ++probes < probes_max) {
        const int64_t before = from;
        const bool ended = read_between(db, from, last_possible, [&](Row row) {
            from = row.id + 1;
            each(row);
        });
        if (ended) return;
        if (from != before) {
            step = 1;
            continue;
        }
        from += step;
        if (probes % 64 == 0) step *= 2;
    }
}

bool plausible(const Row& row) { return row.id > 0 && row.priority >= 0 && row.priority <= 2 && row.kind >= 0 && row.kind <= 3 && row.readings >= 0; }

Result<void> copy_remains(Database& to, const Remains& r) {
    return to.transaction([&]() -> Result<void> {
        for (size_t i = 0; i < r.boots.size(); ++i) {
            auto put = to.prepare("INSERT OR REPLACE INTO boot(boot_no, boot_id, state, offset_ms, error_ms) VALUES(?,?,?,?,?)");
            if (!put) return pass(put);
            put->bind(1, int64_t{r.boots[i].boot_no}).bind(2, static_cast<int64_t>(r.boot_ids[i]));
            put->bind(3, int64_t{static_cast<uint8_t>(r.boots[i].state)}).bind(4, r.boots[i].offset_ms).bind(5, r.boots[i].error_ms);
            if (auto done = put->run(); !done) return done;
        }
        for (const Layout& layout : r.layouts) {
            auto put = to.prepare("INSERT OR REPLACE INTO layout(id, bytes, defined_seq) VALUES(?,?,0)");
            if (!put) return pass(put);
            const std::string bytes = encode_layout(layout);
            if (auto done = put->bind(1, int64_t{layout.id}).bind_blob(2, bytes).run(); !done) return done;
        }
        for (const Gap& gap : r.gaps)
            if (auto done = insert_gap(to, gap); !done) return done;
        if (r.epoch == 0) return {};
        return to.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch'," + std::to_string(r.epoch) + ")");
    });
}

// Numbers of an old stream that are neither salvaged, nor acked, nor known gaps: lost with the damage.
Result<int64_t> note_missing(Database& to, const OldStream& stream, const SeqSet& salvaged, const std::vector<Gap>& gaps, uint64_t lowest) {
    SeqSet known = decode_acked(stream.acked);
    // Without the stream's own row nothing is known of what lies below the lowest number that was salvaged.
    if (!stream.acked_known && lowest > 1) known.insert(SeqRange{1, lowest - 1});
    if (salvaged.mark() > 0) known.insert(SeqRange{1, salvaged.mark()});
    for (const SeqRange& r : salvaged.ranges()) known.insert(r);
    for (const Gap& g : gaps)
        if (g.stream == stream.id) known.insert(SeqRange{g.first_seq, g.last_seq});
    const uint64_t end = std::max(stream.floor, known.highest() + 1);  // the first number not known to be sealed
    int64_t missing = 0;
    const auto note = [&](uint64_t first, uint64_t last) -> Result<void> {
        if (first > last) return {};
        missing += static_cast<int64_t>(last - first + 1);
        return insert_gap(to, {.stream = stream.id, .first_seq = first, .last_seq = last, .readings = 0, .exact = false, .from = {}, .to = {}, .reason = GapReason::Damaged});
    };
    uint64_t next = known.mark() + 1;
    for (const SeqRange& r : known.ranges()) {
        if (auto done = note(next, r.first - 1); !done) return pass(done);
        next = r.last + 1;
    }
    // One number beyond the last stands for a tail of unknown length.
    if (auto done = note(next, end); !done) return pass(done);
    return missing - 1;
}

struct Salvage {
    std::map<int64_t, SeqSet> seqs;
    std::map<int64_t, uint64_t> lowest;
    int64_t rows = 0;
    uint32_t boot_no_max = 0;
};

// The stream of a row whose stream table is gone cannot be known, so nothing vouches for it.
Result<Salvage> copy_batches(Database& from, Database& to, const Remains& remains) {
    Salvage salvage;
    auto put = to.prepare("INSERT OR IGNORE INTO batch(id, priority, kind, readings, first_wall, bytes) VALUES(?,?,?,?,?,?)");
    if (!put) return pass(put);
    if (auto begun = to.execute("BEGIN IMMEDIATE"); !begun) return pass(begun);
    Result<void> failed;
    size_t in_transaction = 0;
    const auto copy = [&](const Row& row) {
        const auto stream = remains.streams.find(stream_no_of(row.id));
        if (!failed || !plausible(row) || stream == remains.streams.end()) return;
        auto view = open_batch(stream->second.id, row.bytes);
        if (!view || view->header.seq != seq_of(row.id)) return;
        put->bind(1, row.id).bind(2, row.priority).bind(3, row.kind).bind(4, row.readings).bind(5, row.first_wall).bind_blob(6, row.bytes);
        failed = put->run();
        if (!failed) return;
        const auto [lowest, first] = salvage.lowest.try_emplace(stream->first, view->header.seq);
        if (!first) lowest->second = std::min(lowest->second, view->header.seq);
        salvage.seqs[stream->first].insert(view->header.seq);
        salvage.boot_no_max = std::max(salvage.boot_no_max, view->header.boot_no);
        ++salvage.rows;
        if (++in_transaction < rows_per_transaction) return;
        in_transaction = 0;
        failed = to.execute("COMMIT; BEGIN IMMEDIATE");
    };
    for (const auto& [no, stream] : remains.streams)
        read_around_damage(from, id_of(no, 0), id_of(no, stream.floor + seqs_past_floor_max), copy);
    if (failed) failed = to.execute("COMMIT");
    if (!failed) {
        to.rollback();
        return pass(failed);
    }
    return salvage;
}

// Only the newest damaged files are kept: they are evidence, not a backup.
void limit_damaged(const std::string& path) {
    const std::string folder = folder_of(path);
    const std::string prefix = path.substr(path.find_last_of('/') + 1) + ".damaged-";
    std::set<std::pair<size_t, std::string>> names;  // by length, then text: the time's order
    DIR* dir = ::opendir(folder.c_str());
    if (dir == nullptr) return;
    while (const dirent* entry = ::readdir(dir)) {
        const std::string name = entry->d_name;
        const bool side = name.ends_with("-wal") || name.ends_with("-shm");
        if (name.starts_with(prefix) && !side) names.insert({name.size(), name});
    }
    ::closedir(dir);
    while (names.size() > damaged_kept_max) {
        for (const char* tail : {"", "-wal", "-shm"}) ::unlink((folder + "/" + names.begin()->second + tail).c_str());
        names.erase(names.begin());
    }
}

Result<void> build(const std::string& path, const std::string& repairing, OpenReport& report) {
    auto to = open_buffer_database(repairing, false);
    if (!to) return pass(to);
    if (auto created = create_buffer_tables(*to); !created) return created;
    // A large file has to be saved in seconds: nothing is synced until the last transaction and its checkpoint, and a power cut
    // before the rename begins anew.
    if (auto quick = to->execute("PRAGMA synchronous=OFF"); !quick) return quick;
    Remains remains;
    Salvage salvage;
    if (auto from = open_buffer_database(path, false)) {
        remains = read_remains(*from);
        if (auto copied = copy_remains(*to, remains); !copied) return copied;
        auto batches = copy_batches(*from, *to, remains);
        if (!batches) return pass(batches);
        salvage = std::move(*batches);
    }
    report.salvaged_batches = salvage.rows;
    if (auto safe = to->execute("PRAGMA synchronous=FULL"); !safe) return safe;
    auto written = to->transaction([&]() -> Result<void> {
        int64_t last_no = 0;
        for (const auto& [no, stream] : remains.streams) {
            auto missing = note_missing(*to, stream, salvage.seqs[no], remains.gaps, salvage.lowest.contains(no) ? salvage.lowest[no] : 1);
            if (!missing) return pass(missing);
            report.missing_batches += *missing;
            auto put = to->prepare("INSERT INTO stream(stream_no, id, floor, acked) VALUES(?,?,?,?)");
            if (!put) return pass(put);
            const uint64_t floor = std::max(stream.floor, salvage.seqs[no].highest() + 1) + 1;
            put->bind(1, no).bind(2, static_cast<int64_t>(stream.id)).bind(3, static_cast<int64_t>(floor)).bind_blob(4, stream.acked);
            if (auto done = put->run(); !done) return done;
            last_no = std::max(last_no, no);
        }
        auto put = to->prepare("INSERT INTO stream(stream_no, id, floor, acked) VALUES(?,?,1,x'')");
        if (!put) return pass(put);
        if (auto done = put->bind(1, last_no + 1).bind(2, static_cast<int64_t>(random_u64())).run(); !done) return done;
        // A boot number of salvaged batches is never given to another boot.
        if (salvage.boot_no_max == 0) return {};
        return to->execute("INSERT OR IGNORE INTO boot(boot_no, boot_id, state, offset_ms, error_ms) VALUES(" +
                           std::to_string(salvage.boot_no_max) + ",0,0,0,0)");
    });
    if (!written) return written;
    return to->execute("PRAGMA wal_checkpoint(TRUNCATE)");  // only the main file is renamed
}

// A repair by root must not lock the agent's own user out.
void give_to_owner_of(const std::string& path, const std::string& file) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return;
    if (::chown(file.c_str(), s.st_uid, s.st_gid) == 0 || ::geteuid() != 0) ::chmod(file.c_str(), s.st_mode & 0777);
}

void drop(const std::string& file) {
    for (const char* tail : {"", "-wal", "-shm"}) ::unlink((file + tail).c_str());
}

}  // namespace

Result<OpenReport> repair_buffer_file(const std::string& path, WallTime now, const std::string& complaint) {
    OpenReport report;
    report.complaint = complaint;
    const std::string repairing = path + ".repairing";
    drop(repairing);
    if (auto built = build(path, repairing, report); !built) {
        drop(repairing);  // on a full disk it is what fills it
        return pass(built);
    }
    give_to_owner_of(path, repairing);
    report.set_aside = path + ".damaged-" + std::to_string(now.ms);
    for (const char* tail : {"", "-wal"}) {
        const int renamed = ::rename((path + tail).c_str(), (report.set_aside + tail).c_str());
        if (renamed != 0 && errno != ENOENT) return fail(Code::Unavailable, "set aside " + path + tail + ": " + std::strerror(errno));
    }
    ::unlink((path + "-shm").c_str());
    if (::rename(repairing.c_str(), path.c_str()) != 0) return fail(Code::Unavailable, "rename " + repairing + ": " + std::strerror(errno));
    if (auto synced = sync_folder(folder_of(path)); !synced) return pass(synced);
    limit_damaged(path);
    log::error("buffer_repaired", {{"complaint", complaint}, {"set_aside", report.set_aside}, {"salvaged_batches", report.salvaged_batches},
                                   {"missing_batches", report.missing_batches}});
    return report;
}

}  // namespace basmalin::agent
