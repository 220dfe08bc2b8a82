#include "agent/buffer/buffer_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "agent/buffer/eviction.h"
#include "agent/buffer/wal_rescue.h"
#include "shared/base/bytes.h"
#include "shared/base/file.h"
#include "shared/base/ids.h"

namespace basmalin::agent {
namespace {

constexpr const char* schema = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE stream(stream_no INTEGER PRIMARY KEY, id INTEGER NOT NULL, floor INTEGER NOT NULL, acked BLOB NOT NULL);
CREATE TABLE boot(boot_no INTEGER PRIMARY KEY, boot_id INTEGER NOT NULL, state INTEGER NOT NULL, offset_ms INTEGER NOT NULL,
                  error_ms INTEGER NOT NULL);
CREATE TABLE layout(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL, defined_seq INTEGER NOT NULL);
CREATE TABLE batch(id INTEGER PRIMARY KEY, priority INTEGER NOT NULL, kind INTEGER NOT NULL, readings INTEGER NOT NULL,
                   first_wall INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX batch_priority ON batch(priority) WHERE priority <> 1;
CREATE TABLE gap(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
                 readings INTEGER NOT NULL, exact INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
                 reason INTEGER NOT NULL);
)";
constexpr int64_t format_version = 1;

bool exists(const std::string& path) {
    struct stat s {};
    return ::stat(path.c_str(), &s) == 0;
}

int64_t file_bytes(const std::string& path) {
    struct stat s {};
    return ::stat(path.c_str(), &s) == 0 ? static_cast<int64_t>(s.st_size) : -1;
}

// A repair that was cut between its renames: finish it. One that was cut before is built again.
Result<void> finish_repair(const std::string& path, WallTime now) {
    const std::string repairing = path + ".repairing";
    if (!exists(repairing)) return {};
    if (exists(path)) {
        for (const char* tail : {"", "-wal", "-shm"}) ::unlink((repairing + tail).c_str());
        return {};
    }
    std::string aside = path + ".damaged-" + std::to_string(now.ms);
    if (auto db = open_buffer_database(repairing, false)) {  // the name under which its log is looked for
        auto name = db->prepare("SELECT file FROM salvage_source ORDER BY no DESC LIMIT 1");
        auto row = name ? name->step() : Result<bool>(false);
        if (row && *row) aside = folder_of(path) + "/" + name->text(0);
    }
    if (exists(path + "-wal") && ::rename((path + "-wal").c_str(), (aside + "-wal").c_str()) != 0)
        return fail(Code::Unavailable, "set aside " + path + "-wal: " + std::strerror(errno));
    ::unlink((path + "-shm").c_str());
    if (::rename(repairing.c_str(), path.c_str()) != 0) return fail(Code::Unavailable, "rename " + repairing + ": " + std::strerror(errno));
    return sync_folder(folder_of(path));
}

// Corrupt when this is a database but not a buffer of ours.
Result<bool> has_tables(Database& db) {
    auto tables = db.integer("SELECT count(*) FROM sqlite_schema");
    if (!tables) return pass(tables);
    if (*tables == 0) return false;
    auto version = db.integer("SELECT value FROM meta WHERE key='format'");
    if (!version) return fail(Code::Corrupt, "not a buffer file: " + version.error().text);
    if (*version > format_version)
        return fail(Code::Conflict, "buffer format " + std::to_string(*version) + " is newer than this agent's", "install the newer agent again");
    if (auto sound = db.expect_schema(schema); !sound) return pass(sound);
    // A damaged key is sound text to SQLite's quick check, and is not found any more where it stands.
    auto keys = db.prepare("SELECT key FROM meta");
    if (!keys) return pass(keys);
    for (std::string before;;) {
        auto row = keys->step();
        if (!row) return pass(row);
        if (!*row) break;
        std::string key = keys->text(0);
        if (key <= before) return fail(Code::Corrupt, "the keys of its notes are damaged");
        before = std::move(key);
    }
    return true;
}

// Every batch's checksum has its stream's id in it, and the id stands twice: where the two differ, a batch says which is right.
Result<void> mend_stream_ids(Database& db) {
    auto twice = db.integer("SELECT count(*) FROM sqlite_schema WHERE name='stream_id'");
    if (!twice) return pass(twice);
    if (*twice == 0) return {};
    auto differing = db.prepare(
        "SELECT stream.stream_no, stream.id, stream_id.id FROM stream JOIN stream_id USING(stream_no) WHERE stream.id IS NOT stream_id.id");
    if (!differing) return pass(differing);
    std::vector<std::array<int64_t, 3>> found;
    for (;;) {
        auto row = differing->step();
        if (!row) return pass(row);
        if (!*row) break;
        found.push_back({differing->integer(0), differing->integer(1), differing->integer(2)});
    }
    for (const auto& [no, noted, again] : found) {
        auto batches = db.prepare("SELECT bytes FROM batch WHERE id >= ? AND id < ? LIMIT 8");
        if (!batches) return pass(batches);
        batches->bind(1, id_of(no, 0)).bind(2, id_of(no + 1, 0));
        for (;;) {
            auto row = batches->step();
            if (!row) return pass(row);
            if (!*row) break;
            const bool is_noted = open_batch(static_cast<uint64_t>(noted), batches->blob(0)).has_value();
            const bool is_again = open_batch(static_cast<uint64_t>(again), batches->blob(0)).has_value();
            if (!is_noted && !is_again) continue;
            batches->reset();
            const std::string of_it = " WHERE stream_no=" + std::to_string(no);
            if (auto mended = db.execute(is_noted ? "UPDATE stream_id SET id=" + std::to_string(noted) + of_it
                                                  : "UPDATE stream SET id=" + std::to_string(again) + of_it);
                !mended)
                return mended;
            break;
        }
    }
    return {};
}

}  // namespace

Result<void> create_buffer_tables(Database& db) {
    // auto_vacuum must be chosen before the first table; in WAL mode the empty file has to be rewritten for it.
    if (auto done = db.execute("PRAGMA auto_vacuum=INCREMENTAL;VACUUM;"); !done) return done;
    return db.transaction([&]() -> Result<void> {
        if (auto made = db.execute(schema); !made) return made;
        auto meta = db.prepare("INSERT INTO meta(key, value) VALUES('format', ?)");
        if (!meta) return pass(meta);
        return meta->bind(1, format_version).run();
    });
}

Result<FileLock> FileLock::take(const std::string& path) {
    const std::string name = path + ".lock";
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail(Code::Unavailable, "open " + name + ": " + std::strerror(errno), "check that the state folder exists and can be written");
    // Made by root (`buffer check`), it must not lock the agent's own user out.
    struct stat folder {};
    if (::geteuid() == 0 && ::stat(folder_of(path).c_str(), &folder) == 0 && ::fchown(fd, folder.st_uid, folder.st_gid) != 0)
        return ::close(fd), fail(Code::Unavailable, "give " + name + " to its folder's owner: " + std::strerror(errno));
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ::close(fd);
        return fail(Code::Conflict, path + " is in use by another process", "stop the other agent, or give this one its own state_folder");
    }
    return FileLock(fd);
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

FileLock::~FileLock() {
    if (fd_ >= 0) ::close(fd_);
}

Result<void> note_stream(Database& db, int64_t stream_no, uint64_t id) {
    // Created last, it lies in another block than the first tables; files of earlier versions do not have it.
    if (auto made = db.execute("CREATE TABLE IF NOT EXISTS stream_id(stream_no INTEGER PRIMARY KEY, id INTEGER NOT NULL)"); !made) return made;
    auto put = db.prepare("INSERT OR REPLACE INTO stream_id(stream_no, id) VALUES(?,?)");
    if (!put) return pass(put);
    return put->bind(1, stream_no).bind(2, static_cast<int64_t>(id)).run();
}

Result<Database> open_buffer_database(const std::string& path, bool read_only, bool leave_log) {
    return Database::open(path, {.page_size_bytes = 1024,
                                 .synchronous = "FULL",
                                 .busy_timeout_ms = 5000,
                                 .cache_bytes = 256 << 10,
                                 .wal_checkpoint_pages = 1000,
                                 .journal_size_limit_bytes = log_bytes_limit,
                                 .read_only = read_only,
                                 .leave_log = leave_log});
}

Result<void> check_buffer_file(Database& db, Duration deadline) {
    std::mutex mutex;
    std::condition_variable wake;
    bool done = false;
    std::thread watch([&] {
        std::unique_lock lock(mutex);
        if (!wake.wait_for(lock, std::chrono::milliseconds(deadline.ms), [&] { return done; })) db.interrupt();
    });
    Result<void> checked = db.check(false);
    {
        const std::lock_guard lock(mutex);
        done = true;
    }
    wake.notify_one();
    watch.join();
    if (!checked && checked.error().code == Code::Timeout) return {};  // what is damaged beyond shows when it is read
    return checked;
}

Result<BufferFile> open_buffer_file(const std::string& path, const BufferOptions& options, WallTime now) {
    BufferFile file;
    auto lock = FileLock::take(path);
    if (!lock) return pass(lock);
    file.lock = std::move(*lock);
    if (auto finished = finish_repair(path, now); !finished) return pass(finished);

    const bool is_new = !exists(path) && !exists(path + "-wal");
    file.wal = read_wal(path);
    const bool empty = !is_new && file_bytes(path) <= 0;
    const auto attempt = [&]() -> Result<Database> {
        auto db = open_buffer_database(path, false, true);
        if (!db) return db;
        auto tables = has_tables(*db);
        if (!tables) return pass(tables);
        if (!*tables && !is_new) return fail(Code::Corrupt, "the file has no tables");
        if (!*tables) {
            if (auto created = create_buffer_tables(*db); !created) return pass(created);
        } else if (auto checked = check_buffer_file(*db, options.check_deadline); !checked) {
            return pass(checked);
        } else if (auto mended = mend_stream_ids(*db); !mended && mended.error().code == Code::Corrupt) {
            return pass(mended);  // one that cannot be written is told apart when it is read
        }
        return db;
    };
    Result<Database> db = empty                                        ? Result<Database>(fail(Code::Corrupt, "the file is empty"))
                          : !is_new && !options.rebuild_because.empty() ? Result<Database>(fail(Code::Corrupt, options.rebuild_because))
                                                                        : attempt();
    if (!db && (db.error().code == Code::Corrupt || db.error().code == Code::Invalid)) {
        auto report = repair_buffer_file(path, now, db.error().text, options.promised);
        if (!report) return pass(report, "repair " + path);
        file.report = std::move(*report);
        file.wal.clear();
        db = attempt();
    }
    if (!db) return pass(db, "open " + path);
    file.report.created = is_new;
    file.db = std::move(*db);
    return file;
}

Result<std::vector<Layout>> read_layouts(Database& db) {
    std::vector<Layout> known;
    auto rows = db.prepare("SELECT id, bytes FROM layout ORDER BY id");
    if (!rows) return pass(rows);
    for (;;) {
        auto row = rows->step();
        if (!row) return pass(row, "read layouts");
        if (!*row) return known;
        auto layout = decode_layout(static_cast<uint32_t>(rows->integer(0)), rows->blob(1));
        if (layout) known.push_back(std::move(*layout));
    }
}

Result<void> insert_gap(Database& db, const Gap& gap) {
    Gap whole = gap;
    auto touching = db.prepare(
        "SELECT id, first_seq, last_seq, readings, exact, from_ms, to_ms FROM gap"
        " WHERE stream=?1 AND reason=?2 AND (last_seq=?3 OR first_seq=?4)");
    if (!touching) return pass(touching);
    touching->bind(1, static_cast<int64_t>(gap.stream)).bind(2, int64_t{static_cast<uint8_t>(gap.reason)});
    touching->bind(3, static_cast<int64_t>(gap.first_seq) - 1).bind(4, static_cast<int64_t>(gap.last_seq) + 1);
    std::vector<int64_t> replaced;
    for (;;) {
        auto row = touching->step();
        if (!row) return pass(row);
        if (!*row) break;
        replaced.push_back(touching->integer(0));
        Gap other = gap;
        other.first_seq = static_cast<uint64_t>(touching->integer(1));
        other.last_seq = static_cast<uint64_t>(touching->integer(2));
        other.readings = static_cast<uint64_t>(touching->integer(3));
        other.exact = touching->integer(4) != 0;
        other.from = {touching->integer(5)};
        other.to = {touching->integer(6)};
        whole = joined(whole, other);
    }
    for (const int64_t id : replaced)
        if (auto removed = db.execute("DELETE FROM gap WHERE id=" + std::to_string(id)); !removed) return removed;
    auto insert = db.prepare(
        "INSERT INTO gap(stream, first_seq, last_seq, readings, exact, from_ms, to_ms, reason) VALUES(?,?,?,?,?,?,?,?)");
    if (!insert) return pass(insert);
    insert->bind(1, static_cast<int64_t>(whole.stream)).bind(2, static_cast<int64_t>(whole.first_seq));
    insert->bind(3, static_cast<int64_t>(whole.last_seq)).bind(4, static_cast<int64_t>(whole.readings));
    insert->bind(5, int64_t{whole.exact}).bind(6, whole.from.ms).bind(7, whole.to.ms);
    return insert->bind(8, int64_t{static_cast<uint8_t>(whole.reason)}).run();
}

std::string encode_layout(const Layout& layout) {
    Writer out;
    out.text(layout.device);
    out.varint(layout.columns.size());
    for (const Column& c : layout.columns) {
        out.text(c.quantity);
        out.text(c.unit);
        out.u8(static_cast<uint8_t>(c.kind));
        out.u8(c.decimals);
    }
    return out.take();
}

Result<Layout> decode_layout(uint32_t id, std::string_view bytes) {
    Reader in(bytes);
    Layout layout{.id = id, .device = std::string(in.text()), .columns = {}};
    const size_t columns = in.count(4);
    for (size_t i = 0; i < columns; ++i) {
        Column c;
        c.quantity = in.text();
        c.unit = in.text();
        const uint8_t kind = in.u8();
        c.decimals = in.u8();
        if (kind > static_cast<uint8_t>(ValueKind::Text) || c.decimals > 15) return fail(Code::Corrupt, "layout " + std::to_string(id));
        c.kind = static_cast<ValueKind>(kind);
        layout.columns.push_back(std::move(c));
    }
    if (!in.ok() || !in.at_end() || columns == 0 || columns > 64) return fail(Code::Corrupt, "layout " + std::to_string(id));
    return layout;
}

std::string encode_acked(const SeqSet& set) {
    Writer out;
    out.varint(set.mark());
    out.varint(set.ranges().size());
    for (const SeqRange& r : set.ranges()) {
        out.varint(r.first);
        out.varint(r.last - r.first);
    }
    return out.take();
}

SeqSet decode_acked(std::string_view bytes) {
    Reader in(bytes);
    SeqSet set;
    const uint64_t mark = in.varint();
    std::vector<SeqRange> ranges(in.count(2));
    for (SeqRange& r : ranges) {
        r.first = in.varint();
        r.last = r.first + in.varint();
    }
    // A damaged note of acks is no ack: sending again is free, believing it is not.
    if (in.ok() && in.at_end()) set.restore(mark, std::move(ranges));
    return set;
}

}  // namespace basmalin::agent
