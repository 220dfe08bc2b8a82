// A SQLite connection and its statements, with errors as values. Corrupt: what is stored is damaged, or the disk cannot read it;
// Unavailable: busy, or the disk did not take a write.
// Thread: one per Database (opened without SQLite's own mutex).
// Write transactions always begin IMMEDIATE: a read that upgrades gets SQLITE_BUSY at once, whatever the timeout.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace basmalin {

// A prepared statement. Bind by position from 1; errors of binding show at step(). Values of columns count from 0 and are
// valid until the next step() or reset(). Resets itself when destroyed or when run() ends.
class Statement {
  public:
    Statement() = default;
    Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&& other) noexcept;
    ~Statement();

    Statement& bind(int at, int64_t value);
    Statement& bind(int at, double value);
    Statement& bind(int at, std::string_view text);          // copied
    Statement& bind_blob(int at, std::string_view bytes);    // not copied: must outlive the step
    Statement& bind_null(int at);

    Result<bool> step();   // true: a row is there; false: done
    Result<void> run();    // steps to the end, then resets
    void reset();          // keeps nothing: bindings are cleared

    int64_t integer(int column) const;
    double real(int column) const;
    std::string text(int column) const;
    std::string_view blob(int column) const;  // also for text, without a copy
    bool is_null(int column) const;

  private:
    sqlite3* db_ = nullptr;
    sqlite3_stmt* statement_ = nullptr;
    int bind_error_ = 0;
};

struct DatabaseOptions {
    int page_size_bytes = 4096;              // only for a new file
    std::string synchronous = "FULL";
    bool gives_back_pages = false;           // only for a new file: give_back() works
    int64_t busy_timeout_ms = 5000;
    int64_t cache_bytes = 2 << 20;
    int64_t wal_checkpoint_pages = 1000;
    int64_t journal_size_limit_bytes = 8 << 20;
    bool read_only = false;
    bool leave_log = false;                  // as leave_log() below, from the first moment
    bool main_file_alone = false;            // read-only, without a look at its log: for a file whose log cannot be read
};

class Database {
  public:
    // Opens (and creates, unless read-only) in WAL mode. Corrupt when the file is no database.
    static Result<Database> open(const std::string& path, const DatabaseOptions& options = {});
    Database() = default;
    Database(Database&&) noexcept = default;
    Database& operator=(Database&&) noexcept = default;

    Result<void> execute(const std::string& sql);  // one or more statements, no rows
    Result<Statement> prepare(std::string_view sql);
    Result<int64_t> integer(std::string_view sql);  // the first column of the only row
    int64_t changes() const;
    int64_t last_insert_rowid() const;
    bool is_open() const { return handle_ != nullptr; }
    sqlite3* raw() const { return handle_.get(); }

    // BEGIN IMMEDIATE … COMMIT around `work`; any error rolls back and is returned.
    template <class Work>
    Result<void> transaction(Work&& work) {
        if (auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun;
        if (Result<void> done = work(); !done) {
            rollback();
            return done;
        }
        if (auto committed = execute("COMMIT"); !committed) {
            rollback();
            return committed;
        }
        return {};
    }
    void rollback();

    // Corrupt unless each of these CREATE statements (separated by ';') stands in the file as it is written here: SQLite's own checks do
    // not see a damaged byte in a table's definition, and every statement after it would say that there is no such column.
    Result<void> expect_schema(std::string_view statements);
    // PRAGMA quick_check (fast) or integrity_check (whole): Corrupt with the first complaint.
    Result<void> check(bool whole);
    // How much of the file is in use, and how much waits to be used again.
    struct Pages {
        int64_t live = 0;
        int64_t free = 0;
    };
    Result<Pages> pages();
    // Cuts up to so many free pages off the file, in one transaction; the file is shorter after the next checkpoint. Does nothing
    // to a file made without gives_back_pages.
    Result<void> give_back(int64_t pages_max);
    // Closing the last connection leaves the log as it is, instead of writing it into the main file.
    void leave_log(bool leave);
    // Asks a running query of this connection, from any thread, to stop: it returns Timeout.
    void interrupt();

  private:
    struct Close {
        void operator()(sqlite3* db) const;
    };
    std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace basmalin
