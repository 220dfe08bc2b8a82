#include "shared/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/support/process.h"

namespace basmalin {
namespace {

class FileTest : public testing::Test {
  protected:
    testing_support::TemporaryFolder folder;
};
using File = FileTest;

TEST_F(File, WhatIsReplacedIsRead) {
    const std::string path = folder / "state";
    ASSERT_TRUE(replace_file(path, "one"));
    ASSERT_TRUE(replace_file(path, std::string_view("t\0o", 3), 0640));
    EXPECT_EQ(read_file(path, 100).value(), std::string("t\0o", 3));
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0640u);
    EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_F(File, AReaderSeesTheOldOrTheNewContentNeverAMix) {
    const std::string path = folder / "state";
    const std::string a(50'000, 'a');
    const std::string b(70'000, 'b');
    ASSERT_TRUE(replace_file(path, a));
    std::atomic<bool> done = false;
    std::thread writer([&] {
        for (int i = 0; i < 50; ++i) EXPECT_TRUE(replace_file(path, i % 2 == 0 ? b : a));
        done = true;
    });
    while (!done) {
        auto seen = read_file(path, 100'000);
        EXPECT_TRUE(seen && (*seen == a || *seen == b));
    }
    writer.join();
}

TEST_F(File, AFailedReplaceLeavesTheOldContentAndNoLitter) {
    auto nowhere = replace_file(folder / "missing/state", "x");
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code, Code::NotFound);
    std::filesystem::create_directory(folder / "taken");
    EXPECT_FALSE(replace_file(folder / "taken", "x"));
    EXPECT_FALSE(std::filesystem::exists(folder / "taken.tmp"));
}

TEST_F(File, ALinkInPlaceOfTheTemporaryFileIsNotFollowed) {
    ASSERT_TRUE(replace_file(folder / "precious", "kept"));
    std::filesystem::create_symlink(folder / "precious", folder / "state.tmp");
    EXPECT_FALSE(replace_file(folder / "state", "overwritten"));
    EXPECT_EQ(read_file(folder / "precious", 100).value(), "kept");
}

TEST_F(File, ReadingIsBounded) {
    const std::string path = folder / "long";
    ASSERT_TRUE(replace_file(path, std::string(100, 'x')));
    EXPECT_TRUE(read_file(path, 100));
    auto long_one = read_file(path, 99);
    ASSERT_FALSE(long_one);
    EXPECT_EQ(long_one.error().code, Code::Full);
    auto endless = read_file("/dev/zero", 1 << 20);
    ASSERT_FALSE(endless);
    EXPECT_EQ(endless.error().code, Code::Full);
}

TEST_F(File, AMissingFileIsNotFoundAndSaysItsPath) {
    auto missing = read_file(folder / "none", 100);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::NotFound);
    EXPECT_NE(missing.error().text.find("/none"), std::string::npos);
    EXPECT_FALSE(read_file(folder.path(), 100)) << "a folder is no file";
}

TEST_F(File, FilesOfTheKernelAreRead) {
    auto uptime = read_file("/proc/uptime", 4096);
    ASSERT_TRUE(uptime);
    EXPECT_FALSE(uptime->empty());
}

TEST_F(File, FoldersAreMadeOnceAndKeepTheirMode) {
    const std::string path = folder / "a/b/c";
    ASSERT_TRUE(make_folders(path, 0750));
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0750u);
    ASSERT_TRUE(make_folders(path, 0700));
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0750u) << "one that exists is the operator's";
    ASSERT_TRUE(replace_file(folder / "file", "x"));
    EXPECT_FALSE(make_folders(folder / "file/inner"));
}

TEST_F(File, TheFolderOfAPathIsKnown) {
    EXPECT_EQ(folder_of("/var/lib/x.db"), "/var/lib");
    EXPECT_EQ(folder_of("x.db"), ".");
}

TEST_F(File, DiskSpaceIsPlausible) {
    auto space = disk_space(folder.path());
    ASSERT_TRUE(space);
    EXPECT_GT(space->total_bytes, 0);
    EXPECT_LE(space->free_bytes, space->total_bytes);
    EXPECT_FALSE(disk_space(folder / "none"));
}

}  // namespace
}  // namespace basmalin
