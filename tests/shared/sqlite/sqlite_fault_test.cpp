#include <gtest/gtest.h>

#include "shared/sqlite/database.h"
#include "tests/shared/sqlite/sqlite_faulty_disk.h"
#include "tests/support/process.h"

namespace basmalin {
namespace {

class FaultyDatabase : public testing::Test {
  protected:
    FaultyDatabase() {
        auto db = Database::open(path).value();
        EXPECT_TRUE(db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)"));
        EXPECT_TRUE(db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO t SELECT i, zeroblob(500) FROM n"));
        EXPECT_TRUE(db.execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    testing_support::FaultyDisk disk;
    testing_support::TemporaryFolder folder;
    const std::string path = folder / "x #1%?.db";
};

TEST_F(FaultyDatabase, WhatTheDiskCannotReadIsDamage) {
    disk.bad_sector(path, 80 << 10, 84 << 10);
    auto db = Database::open(path).value();
    const auto read = db.integer("SELECT sum(length(v)) FROM t");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Code::Corrupt) << read.error().text;
    EXPECT_EQ(db.check(false).error().code, Code::Corrupt);
    EXPECT_TRUE(db.integer("SELECT length(v) FROM t WHERE id=1")) << "the rest is readable";
}

TEST_F(FaultyDatabase, AWriteThatFailsMayBeTriedAgain) {
    auto db = Database::open(path).value();
    disk.fail_writes(path, 1);
    const auto refused = db.execute("DELETE FROM t WHERE id=7");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Unavailable) << refused.error().text;
    EXPECT_TRUE(db.execute("DELETE FROM t WHERE id=7"));
    EXPECT_EQ(db.integer("SELECT count(*) FROM t"), 399);
}

TEST_F(FaultyDatabase, TheMainFileIsReadWhenItsLogCannotBe) {
    auto writer = Database::open(path).value();
    ASSERT_TRUE(writer.execute("DELETE FROM t WHERE id=7"));
    testing_support::TemporaryFolder other;
    const std::string copy = other / "copy ?.db";  // no index of the log beside it: it has to be read
    ASSERT_EQ(std::system(("cp '" + path + "' '" + copy + "' && cp '" + path + "-wal' '" + copy + "-wal'").c_str()), 0);
    disk.bad_sector(copy + "-wal", 0, 64 << 10);
    const auto whole = Database::open(copy);
    ASSERT_FALSE(whole);
    EXPECT_EQ(whole.error().code, Code::Corrupt);
    auto alone = Database::open(copy, {.main_file_alone = true});
    ASSERT_TRUE(alone) << alone.error().text;
    EXPECT_EQ(alone->integer("SELECT count(*) FROM t"), 400);
    EXPECT_FALSE(alone->execute("DELETE FROM t"));
}

}  // namespace
}  // namespace basmalin
