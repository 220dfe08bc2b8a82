// compress() and decompress(): bounded, and only one whole frame (R5 of shared/series/codec.h).
#include <gtest/gtest.h>

#include "tests/shared/series/generated.h"

namespace basmalin {
namespace {

using namespace generated;

TEST(Compression, BytesComeBack) {
    for_each_seed(200, [](uint64_t seed) {
        Dice dice(seed);
        std::string bytes(dice.below(5000), '\0');
        for (char& c : bytes) c = static_cast<char>(dice.below(dice.one_in(2) ? 4 : 256));
        auto back = decompress(compress(bytes, static_cast<int>(dice.between(1, 19))), bytes.size());
        ASSERT_TRUE(back) << back.error().message();
        ASSERT_EQ(*back, bytes);
    });
}

TEST(Compression, ABombIsRefusedBeforeItIsOpened) {
    const std::string bomb = compress(std::string(64 << 20, '\0'));
    EXPECT_LT(bomb.size(), 10'000U);
    auto opened = decompress(bomb, 1 << 20);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::Corrupt);
}

TEST(Compression, OnlyOneWholeFrameIsTaken) {
    const std::string frame = compress("twelve bytes");
    EXPECT_FALSE(decompress(frame + frame, 1000));
    EXPECT_FALSE(decompress(frame + "x", 1000));
    EXPECT_FALSE(decompress("", 1000));
    EXPECT_FALSE(decompress("twelve bytes", 1000));
    for (size_t n = 0; n < frame.size(); ++n) EXPECT_FALSE(decompress(frame.substr(0, n), 1000)) << n;
}

}  // namespace
}  // namespace basmalin
