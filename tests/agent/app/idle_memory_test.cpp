#include "agent/app/idle_memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "shared/base/file.h"

namespace basmalin::agent {
namespace {

// Resident pages that are of files, in kB.
long resident_of_files() {
    const auto text = read_file("/proc/self/status", 16 * 1024);
    const size_t at = text ? text->find("RssFile:") : std::string::npos;
    return at == std::string::npos ? 0 : std::stol(text->substr(at + 8));
}

TEST(IdleMemory, CodeThatNobodyRunsLeavesMemoryAndComesBackWhenCalled) {
    const auto kept = std::make_unique<std::string>(200'000, 'k');
    static std::string written_at_start = "a relocated, writable page";
    written_at_start += "!";
    const long before = resident_of_files();
    give_back_memory();
    const long after = resident_of_files();
    EXPECT_LT(after, before * 3 / 4);
    EXPECT_EQ(written_at_start, "a relocated, writable page!");
    EXPECT_EQ(*kept, std::string(200'000, 'k'));
    EXPECT_NEAR(std::sqrt(2.0) * std::stod("2.5"), 3.5355, 0.001);
    EXPECT_GT(resident_of_files(), 0);
}

}  // namespace
}  // namespace basmalin::agent
