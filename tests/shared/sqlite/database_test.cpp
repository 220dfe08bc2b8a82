#include "shared/sqlite/database.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "shared/base/file.h"
#include "tests/support/process.h"

namespace basmalin {
namespace {

class DatabaseTest : public testing::Test {
  protected:
    void SetUp() override {
        db = Database::open(path).value();
        ASSERT_TRUE(db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v, UNIQUE(v))"));
    }
    int64_t rows() { return db.integer("SELECT count(*) FROM t").value(); }

    testing_support::TemporaryFolder folder;
    const std::string path = folder / "x.db";
    Database db;
};
using DatabaseFile = DatabaseTest;

TEST_F(DatabaseFile, EveryKindOfValueComesBack) {
    auto insert = db.prepare("INSERT INTO t(v) VALUES(?)").value();
    ASSERT_TRUE(insert.bind(1, INT64_MIN).run());
    ASSERT_TRUE(insert.bind(1, 0.1).run());
    ASSERT_TRUE(insert.bind(1, std::string_view("t\0xt", 4)).run());
    const std::string bytes("\xff\0\x01", 3);
    ASSERT_TRUE(insert.bind_blob(1, bytes).run());
    ASSERT_TRUE(insert.bind_null(1).run());
    ASSERT_TRUE(insert.bind(1, std::string_view()).run());
    ASSERT_TRUE(insert.bind_blob(1, std::string_view()).run());
    EXPECT_EQ(db.last_insert_rowid(), 7);
    EXPECT_EQ(db.changes(), 1);
    auto select = db.prepare("SELECT v FROM t ORDER BY id").value();
    ASSERT_TRUE(select.step().value());
    EXPECT_EQ(select.integer(0), INT64_MIN);
    ASSERT_TRUE(select.step().value());
    EXPECT_EQ(select.real(0), 0.1);
    ASSERT_TRUE(select.step().value());
    EXPECT_EQ(select.text(0), std::string("t\0xt", 4));
    ASSERT_TRUE(select.step().value());
    EXPECT_EQ(select.blob(0), bytes);
    ASSERT_TRUE(select.step().value());
    EXPECT_TRUE(select.is_null(0));
    EXPECT_EQ(select.text(0), "");
    ASSERT_TRUE(select.step().value());
    EXPECT_FALSE(select.is_null(0));
    EXPECT_EQ(select.text(0), "");
    ASSERT_TRUE(select.step().value());
    EXPECT_FALSE(select.is_null(0)) << "an empty blob is no null";
    EXPECT_FALSE(select.step().value());
}

TEST_F(DatabaseFile, AFailedTransactionLeavesNothing) {
    const auto done = db.transaction([&]() -> Result<void> {
        EXPECT_TRUE(db.execute("INSERT INTO t(v) VALUES(1)"));
        return fail(Code::Full, "changed my mind", "a hint");
    });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message(), "changed my mind (a hint)");
    EXPECT_EQ(rows(), 0);
    ASSERT_TRUE(db.transaction([&] { return db.execute("INSERT INTO t(v) VALUES(1)"); })) << "it was rolled back, not left open";
    EXPECT_EQ(rows(), 1);
}

TEST_F(DatabaseFile, AnErrorInsideATransactionRollsItBack) {
    const auto done = db.transaction([&]() -> Result<void> {
        if (auto first = db.execute("INSERT INTO t(v) VALUES(1)"); !first) return first;
        return db.execute("INSERT INTO t(v) VALUES(1)");
    });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::Conflict);
    EXPECT_EQ(rows(), 0);
}

TEST_F(DatabaseFile, ANestedTransactionIsRefusedAndTheOuterGoesOn) {
    ASSERT_TRUE(db.transaction([&]() -> Result<void> {
        EXPECT_TRUE(db.execute("INSERT INTO t(v) VALUES(1)"));
        EXPECT_FALSE(db.transaction([] { return Result<void>(); }));
        return db.execute("INSERT INTO t(v) VALUES(2)");
    }));
    EXPECT_EQ(rows(), 2);
}

TEST_F(DatabaseFile, WhatIsCommittedOutlivesTheConnectionWhatIsNotDoesNot) {
    ASSERT_TRUE(db.execute("INSERT INTO t(v) VALUES(1)"));
    ASSERT_TRUE(db.execute("BEGIN IMMEDIATE; INSERT INTO t(v) VALUES(2)"));
    db = Database();
    EXPECT_FALSE(db.is_open());
    db = Database::open(path).value();
    EXPECT_EQ(rows(), 1);
}

TEST_F(DatabaseFile, ASecondWriterWaitsOnlyAsLongAsItMay) {
    DatabaseOptions impatient;
    impatient.busy_timeout_ms = 1;
    auto other = Database::open(path, impatient).value();
    ASSERT_TRUE(db.transaction([&]() -> Result<void> {
        const auto busy = other.transaction([] { return Result<void>(); });
        EXPECT_FALSE(busy);
        EXPECT_EQ(busy.error().code, Code::Unavailable);
        EXPECT_EQ(other.integer("SELECT count(*) FROM t").value(), 0) << "readers are never blocked";
        return {};
    }));
    EXPECT_TRUE(other.transaction([] { return Result<void>(); }));
}

TEST_F(DatabaseFile, AFileThatIsNoDatabaseIsCorrupt) {
    ASSERT_TRUE(replace_file(folder / "garbage.db", std::string(8192, 'g')));
    auto opened = Database::open(folder / "garbage.db");
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::Corrupt);
    EXPECT_NE(opened.error().text.find("garbage.db"), std::string::npos) << opened.error().text;
}

TEST_F(DatabaseFile, ADamagedPageIsFoundByTheCheck) {
    ASSERT_TRUE(db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 2000) INSERT INTO t(v) SELECT 'row ' || i FROM n"));
    ASSERT_TRUE(db.check(false));
    ASSERT_TRUE(db.check(true));
    ASSERT_TRUE(db.execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    db = Database();
    std::string bytes = read_file(path, 64 << 20).value();
    ASSERT_GT(bytes.size(), 5u * 4096);
    for (size_t i = 2 * 4096; i < 3 * 4096; ++i) bytes[i] = static_cast<char>(i * 37);
    ASSERT_TRUE(replace_file(path, bytes));
    db = Database::open(path).value();
    const auto checked = db.check(true);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, Code::Corrupt);
    EXPECT_FALSE(checked.error().text.empty());
}

TEST_F(DatabaseFile, AFullDatabaseIsFullAndUsableAfterwards) {
    ASSERT_TRUE(db.execute("PRAGMA max_page_count=20"));
    auto insert = db.prepare("INSERT INTO t(v) VALUES(zeroblob(?) || ?)").value();
    Result<void> last;
    for (int64_t i = 0; i < 200 && last; ++i) last = insert.bind(1, int64_t{4000}).bind(2, i).run();
    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().code, Code::Full);
    EXPECT_FALSE(last.error().hint.empty());
    EXPECT_TRUE(db.execute("DELETE FROM t"));
    EXPECT_TRUE(insert.bind(1, int64_t{10}).bind(2, int64_t{1}).run()) << "the statement is usable again";
}

TEST_F(DatabaseFile, AReadOnlyConnectionWritesNothing) {
    ASSERT_TRUE(db.execute("INSERT INTO t(v) VALUES(1)"));
    DatabaseOptions reader;
    reader.read_only = true;
    auto other = Database::open(path, reader).value();
    EXPECT_EQ(other.integer("SELECT v FROM t").value(), 1);
    const auto written = other.execute("DELETE FROM t");
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Code::Denied);
    EXPECT_FALSE(Database::open(folder / "none.db", reader));
    EXPECT_FALSE(std::filesystem::exists(folder / "none.db"));
    EXPECT_FALSE(Database::open(folder / "no/such/folder.db"));
}

TEST_F(DatabaseFile, AWrongBindingShowsAtTheStep) {
    auto insert = db.prepare("INSERT INTO t(v) VALUES(?)").value();
    EXPECT_FALSE(insert.bind(2, int64_t{1}).run());
    EXPECT_EQ(rows(), 0);
    EXPECT_TRUE(insert.bind(1, int64_t{1}).run()) << "and is forgotten with the reset";
    EXPECT_EQ(rows(), 1);
}

TEST_F(DatabaseFile, AWrongStatementSaysWhichItIs) {
    auto wrong = db.prepare("SELECT nothing FROM nowhere");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::Invalid);
    EXPECT_NE(wrong.error().text.find("SELECT nothing FROM nowhere"), std::string::npos);
    EXPECT_FALSE(db.execute("no sql"));
    EXPECT_EQ(db.integer("SELECT v FROM t").error().code, Code::NotFound);
}

TEST_F(DatabaseFile, AResetForgetsTheBindings) {
    auto insert = db.prepare("INSERT INTO t(v) VALUES(?)").value();
    ASSERT_TRUE(insert.bind(1, int64_t{7}).run());
    ASSERT_TRUE(insert.run());
    EXPECT_EQ(db.integer("SELECT count(*) FROM t WHERE v IS NULL").value(), 1);
}

TEST_F(DatabaseFile, ALongQueryCanBeInterruptedFromAnotherThread) {
    std::atomic<bool> done = false;
    std::thread other([&] {
        while (!done) db.interrupt();  // again: the query may not have begun yet
    });
    const auto endless = db.integer("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n");
    done = true;
    other.join();
    ASSERT_FALSE(endless);
    EXPECT_EQ(endless.error().code, Code::Timeout);
    EXPECT_EQ(rows(), 0) << "the connection goes on";
}

TEST_F(DatabaseFile, ItsFileIsDurableAndSmall) {
    EXPECT_EQ(db.integer("PRAGMA synchronous").value(), 2) << "FULL";
    auto mode = db.prepare("PRAGMA journal_mode").value();
    ASSERT_TRUE(mode.step().value());
    EXPECT_EQ(mode.text(0), "wal");
    DatabaseOptions options;
    options.page_size_bytes = 1024;
    auto other = Database::open(folder / "y.db", options).value();
    EXPECT_EQ(other.integer("PRAGMA page_size").value(), 1024);
}

TEST_F(DatabaseFile, StatementsMoveAndOutliveTheirDatabase) {
    auto a = db.prepare("SELECT 1").value();
    Statement b = std::move(a);
    a = db.prepare("SELECT 2").value();
    ASSERT_TRUE(a.step().value());
    ASSERT_TRUE(b.step().value());
    EXPECT_EQ(a.integer(0) + b.integer(0), 3);
    db = Database();  // closed for good when the last statement goes
    b = std::move(a);
    EXPECT_EQ(b.integer(0), 2);
}

}  // namespace
}  // namespace basmalin
