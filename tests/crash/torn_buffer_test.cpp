// A gateway's buffer whose file or log was damaged while it was off. Whatever the place: it opens in time, is sound, never gives a
// number twice, and every reading sealed is there bit for bit, or acknowledged, or told as a gap. Two things it cannot tell: a log that
// ends early, or with torn pages, looks like one that was never longer (a power cut in the midst of a commit leaves the like; what was
// fsynced stays); and where the upper pages of the main file are torn, how many batches they led to.
#include <algorithm>

#include "tests/agent/buffer/buffer_fixture.h"
#include "tests/crash/torn.h"

namespace basmalin::agent {
namespace {

constexpr int batches = 260;
constexpr uint64_t readings_per_batch = 20;
constexpr int64_t last_commits_bytes = 8 * 1048;  // a commit is two to four frames of the log, and a tear may reach into the one before

class TornBuffer : public BufferStory {
  protected:
    // Batches in the main file and in the log, some acknowledged (and noted so), some given up and told.
    void make() {
        open();
        welcome(7);
        for (int i = 0; i < batches; ++i) {
            const Held h = seal(readings_per_batch, Priority::Normal, 1 + static_cast<uint32_t>(i) / 50);
            sealed[h.header.seq] = *h.bytes;
            if (i == 100) {
                ack(40);
                EXPECT_TRUE(buffer->close());
                auto db = open_buffer_database(path, false);
                EXPECT_TRUE(db && db->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
            }
        }
        old = stream();
        power_cut();
        good = folder + "-good";
        torn::copy(folder, good);
    }
    ~TornBuffer() override { std::filesystem::remove_all(good); }

    // What is missing of what was sealed, and not told as a gap.
    std::set<uint64_t> silent() {
        std::set<uint64_t> missing;
        for (uint64_t seq = 41; seq <= batches; ++seq) missing.insert(seq);
        for (const Held& h : waiting()) {
            if (h.stream != old) continue;
            if (h.header.seq > batches) {
                EXPECT_EQ(h.header.readings, 0U) << "only layouts are defined again";
                continue;
            }
            EXPECT_EQ(*h.bytes, sealed[h.header.seq]) << "seq " << h.header.seq << " is not what was sealed";
            if (h.header.seq > 40) {
                EXPECT_EQ(missing.erase(h.header.seq), 1U) << "seq " << h.header.seq << " twice";
            }
        }
        for (const Gap& g : gaps()) {
            if (g.stream != old) continue;  // of rows whose stream's id is lost: how much, not which
            EXPECT_LE(g.last_seq, uint64_t{batches} + 1) << "a gap of what never was";  // one more stands for a tail of unknown length
            for (uint64_t seq = std::max<uint64_t>(g.first_seq, 41); seq <= std::min<uint64_t>(g.last_seq, batches); ++seq) {
                EXPECT_EQ(missing.erase(seq), 1U) << "seq " << seq << " is told as a gap, but is there";
            }
        }
        return missing;
    }

    std::map<uint64_t, std::string> sealed;
    uint64_t old = 0;
    std::string good;
};

TEST_F(TornBuffer, EveryReadingIsThereOrToldWhereverItIsTorn) {  // R7
    make();
    for (const uint64_t seed : torn::seeds()) {
        std::mt19937_64 random(seed);
        torn::copy(good, folder);
        const bool log = seed % 2 == 0;
        const torn::Tear tear = torn::tear(path + (log ? "-wal" : ""), random);
        const bool ends_torn = log && (tear.how == torn::How::Cut ||
                                       tear.at + last_commits_bytes > static_cast<int64_t>(std::filesystem::file_size(path + "-wal")));
        SCOPED_TRACE("BASMALIN_TORN_SEED=" + std::to_string(seed) + ": " + tear.text);
        clock.advance(minutes(1));
        const MonoTime before = SystemClock().mono();
        open();
        ASSERT_TRUE(buffer);
        EXPECT_LT((SystemClock().mono() - before).ms, torn::start_within.ms);
        const bool repaired = !buffer->opened().set_aside.empty();
        const std::set<uint64_t> unsaid = silent();
        // Nothing in the files says how many followed: after a log that ends early, or where no page leads to the batches any more.
        if (!unsaid.empty()) {
            EXPECT_EQ(*unsaid.rbegin() - *unsaid.begin() + 1, unsaid.size()) << "a hole that is not told";
            EXPECT_EQ(*unsaid.rbegin(), uint64_t{batches}) << "a hole that is not told";
            EXPECT_TRUE(repaired || ends_torn) << unsaid.size() << " batches are missing, not a word of it";
        }
        const uint64_t floor = unsaid.empty() ? batches : *unsaid.begin() - 1;
        const Held next = seal();
        EXPECT_TRUE(next.stream != old || next.header.seq > floor) << "a number is used twice";
        buffer.reset();
        auto db = open_buffer_database(path, false);
        ASSERT_TRUE(db);
        auto sound = db->check(true);
        EXPECT_TRUE(sound) << (sound ? "" : sound.error().message());
    }
}

}  // namespace
}  // namespace basmalin::agent
