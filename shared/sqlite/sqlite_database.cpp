#include <sqlite3.h>

#include <algorithm>

#include "shared/sqlite/database.h"

namespace basmalin {
namespace {

// What the medium cannot give back is damage, as if it had given back garbage. What it does not take may be taken later.
bool is_unreadable(int code) {
    return code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_DATA;
}

std::unexpected<Error> sqlite_error(sqlite3* db, int code) {
    const int primary = code & 0xff;
    const Code kind = primary == SQLITE_BUSY || primary == SQLITE_LOCKED                             ? Code::Unavailable
                      : primary == SQLITE_FULL                                                       ? Code::Full
                      : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || is_unreadable(code) ? Code::Corrupt
                      : primary == SQLITE_READONLY || primary == SQLITE_PERM || primary == SQLITE_AUTH ? Code::Denied
                      : primary == SQLITE_INTERRUPT                                                  ? Code::Timeout
                      : primary == SQLITE_CONSTRAINT                                                 ? Code::Conflict
                      : primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR                        ? Code::Unavailable
                                                                                                     : Code::Invalid;
    std::string text = "sqlite: ";
    text += db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    text += " [" + std::to_string(code) + "]";
    std::string hint;
    if (kind == Code::Full) hint = "free space on this disk";
    if (kind == Code::Denied) hint = "check the owner and the mode of the file and its folder, and whether the disk is mounted read-only";
    return fail(kind, std::move(text), std::move(hint));
}

std::string uri_of(const std::string& path, const std::string& parameters) {
    std::string uri = "file:";
    for (const char c : path) {
        if (c == '%') uri += "%25";
        else if (c == '?') uri += "%3f";
        else if (c == '#') uri += "%23";
        else uri += c;
    }
    return uri + '?' + parameters;
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)), statement_(std::exchange(other.statement_, nullptr)), bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
    if (this != &other) {
        sqlite3_finalize(statement_);
        db_ = std::exchange(other.db_, nullptr);
        statement_ = std::exchange(other.statement_, nullptr);
        bind_error_ = other.bind_error_;
    }
    return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int at, int64_t value) {
    if (const int rc = sqlite3_bind_int64(statement_, at, value); rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Statement& Statement::bind(int at, double value) {
    if (const int rc = sqlite3_bind_double(statement_, at, value); rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Statement& Statement::bind(int at, std::string_view text) {
    const int rc = sqlite3_bind_text64(statement_, at, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    if (rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Statement& Statement::bind_blob(int at, std::string_view bytes) {
    const int rc = sqlite3_bind_blob64(statement_, at, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
    if (rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}
Statement& Statement::bind_null(int at) {
    if (const int rc = sqlite3_bind_null(statement_, at); rc != SQLITE_OK) bind_error_ = rc;
    return *this;
}

Result<bool> Statement::step() {
    if (bind_error_ != SQLITE_OK) return sqlite_error(db_, bind_error_);
    const int rc = sqlite3_step(statement_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    auto error = sqlite_error(db_, sqlite3_extended_errcode(db_));
    sqlite3_reset(statement_);
    return error;
}

Result<void> Statement::run() {
    for (;;) {
        Result<bool> row = step();
        if (!row) {
            reset();
            return pass(row);
        }
        if (!*row) break;
    }
    reset();
    return {};
}

void Statement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    bind_error_ = SQLITE_OK;
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }
std::string Statement::text(int column) const { return std::string(blob(column)); }
std::string_view Statement::blob(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Result<Database> Database::open(const std::string& path, const DatabaseOptions& options) {
    Database db;
    sqlite3* raw = nullptr;
    const bool read_only = options.read_only || options.main_file_alone;
    const int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOMUTEX;
    const int rc = options.main_file_alone ? sqlite3_open_v2(uri_of(path, "immutable=1").c_str(), &raw, flags | SQLITE_OPEN_URI, nullptr)
                                           : sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    db.handle_.reset(raw);
    if (rc != SQLITE_OK) {
        auto error = sqlite_error(raw, raw != nullptr ? sqlite3_extended_errcode(raw) : rc);
        return std::unexpected(std::move(error.error()).context(path));
    }
    if (options.leave_log) db.leave_log(true);
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, static_cast<int>(options.busy_timeout_ms));
    std::string setup;
    if (!read_only) {
        setup += "PRAGMA page_size=" + std::to_string(options.page_size_bytes) + ";";
        // It must be chosen before the first page; of a file with pages, saying it again would be a write.
        if (options.gives_back_pages) {
            auto pages = db.integer("PRAGMA page_count");
            if (!pages) return pass(pages, path);
            if (*pages == 0) setup += "PRAGMA auto_vacuum=INCREMENTAL;";
        }
        setup += "PRAGMA journal_mode=WAL;";
        setup += "PRAGMA synchronous=" + options.synchronous + ";";
        setup += "PRAGMA wal_autocheckpoint=" + std::to_string(options.wal_checkpoint_pages) + ";";
        setup += "PRAGMA journal_size_limit=" + std::to_string(options.journal_size_limit_bytes) + ";";
    }
    setup += "PRAGMA cache_size=-" + std::to_string(options.cache_bytes / 1024) + ";";
    setup += "PRAGMA temp_store=MEMORY;PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;SELECT count(*) FROM sqlite_schema;";
    if (auto done = db.execute(setup); !done) return pass(done, path);
    return db;
}

Result<void> Database::execute(const std::string& sql) {
    const int rc = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return sqlite_error(handle_.get(), sqlite3_extended_errcode(handle_.get()));
    return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int rc = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (rc != SQLITE_OK) {
        auto error = sqlite_error(handle_.get(), sqlite3_extended_errcode(handle_.get()));
        return std::unexpected(std::move(error.error()).context(sql));
    }
    return Statement(handle_.get(), statement);
}

Result<int64_t> Database::integer(std::string_view sql) {
    auto statement = prepare(sql);
    if (!statement) return pass(statement);
    auto row = statement->step();
    if (!row) return pass(row, sql);
    if (!*row) return fail(Code::NotFound, std::string(sql) + ": no row");
    return statement->integer(0);
}

int64_t Database::changes() const { return sqlite3_changes64(handle_.get()); }
int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_.get()); }

void Database::rollback() {
    if (sqlite3_get_autocommit(handle_.get()) == 0) sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<void> Database::expect_schema(std::string_view statements) {
    auto find = prepare("SELECT 1 FROM sqlite_schema WHERE sql = ?");
    if (!find) return pass(find);
    while (!statements.empty()) {
        const size_t end = std::min(statements.find(';'), statements.size());
        std::string one(statements.substr(0, end));
        one.erase(0, std::min(one.find_first_not_of(" \n"), one.size()));
        if (one.empty()) break;
        statements.remove_prefix(std::min(end + 1, statements.size()));
        constexpr std::string_view unless_there = " IF NOT EXISTS";  // not kept in the file
        if (const size_t at = one.find(unless_there); at != std::string::npos) one.erase(at, unless_there.size());
        find->bind(1, std::string_view(one));
        auto found = find->step();
        if (!found) return pass(found, "read the schema");
        if (!*found) return fail(Code::Corrupt, "its schema is damaged: it has no " + one.substr(0, one.find('(')));
        find->reset();
    }
    return {};
}

Result<void> Database::check(bool whole) {
    auto statement = prepare(whole ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)");
    if (!statement) return pass(statement);
    auto row = statement->step();
    if (!row) return pass(row);
    if (*row && statement->text(0) == "ok") return {};
    return fail(Code::Corrupt, *row ? statement->text(0) : "no answer from the check");
}

Result<Database::Pages> Database::pages() {
    auto all = integer("PRAGMA page_count");
    if (!all) return pass(all);
    auto unused = integer("PRAGMA freelist_count");
    if (!unused) return pass(unused);
    return Pages{*all - *unused, *unused};
}

Result<void> Database::give_back(int64_t pages_max) { return execute("PRAGMA incremental_vacuum(" + std::to_string(pages_max) + ")"); }

void Database::leave_log(bool leave) { sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave ? 1 : 0, nullptr); }

void Database::interrupt() { sqlite3_interrupt(handle_.get()); }

}  // namespace basmalin
