#include "agent/app/changes.h"

#include <gtest/gtest.h>

namespace basmalin::agent {
namespace {

TEST(Changes, OnlyWhatDiffersIsNamed) {
    const Changes c = changes_between("node = \"a\"\n\n[log]\nlevel = \"info\"\n", "node = \"a\"\n\n[log]\nlevel = \"debug\"\n");
    EXPECT_EQ(c.keys, std::vector<std::string>{"log.level"});
    EXPECT_TRUE(c.in("log"));
    EXPECT_TRUE(c.needing_restart().empty());
}

TEST(Changes, WhatOnlyARestartAppliesIsNamed) {
    const Changes c = changes_between("node = \"a\"\n[central]\nhost = \"x\"\nunacked_batches_max = 64\n", "node = \"b\"\n[central]\nhost = \"y\"\nunacked_batches_max = 65\n");
    EXPECT_EQ(c.needing_restart(), (std::vector<std::string>{"central.host", "node"}));
}

TEST(Changes, ARowAddedToATableIsAChangeOfItsSection) {
    const Changes c = changes_between("[sources]\nesphome = true\n", "[sources]\nesphome = true\n[[sources.rule]]\ntopic = \"a\"\n");
    EXPECT_TRUE(c.in("sources"));
    EXPECT_FALSE(c.in("buffer"));
}

}  // namespace
}  // namespace basmalin::agent
