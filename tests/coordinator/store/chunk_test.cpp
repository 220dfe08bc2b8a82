#include "coordinator/store/chunk.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "coordinator/store/applied.h"
#include "coordinator/store/calendar.h"
#include "coordinator/store/integers.h"
#include "coordinator/store/points.h"

namespace basmalin::coordinator {
namespace {

std::vector<int64_t> integers_of(std::mt19937_64& random) {
    std::vector<int64_t> values(random() % 300);
    const uint64_t shape = random() % 5;
    const uint64_t shift = random() % 64;
    int64_t walk = static_cast<int64_t>(random() >> shift);
    for (int64_t& v : values) {
        if (shape == 0) v = static_cast<int64_t>(random());
        if (shape == 1) v = static_cast<int64_t>(random() >> shift);
        if (shape == 2) v = walk = static_cast<int64_t>(static_cast<uint64_t>(walk) + random() % 100);
        if (shape == 3) v = 7;
        if (shape == 4) v = random() % 2 != 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
    }
    return values;
}

double number_of(std::mt19937_64& random) {
    switch (random() % 12) {
        case 0: return std::bit_cast<double>(random());
        case 1: return std::nan("");
        case 2: return -0.0;
        case 3: return std::numeric_limits<double>::infinity();
        case 4: return 0.1 + 0.2;
        case 5: return 1e300;
        default: return static_cast<double>(static_cast<int64_t>(random() % 100'000) - 50'000) / 100;
    }
}

TEST(Integers, ComeBackWhateverTheyAre) {
    for (uint64_t seed = 1; seed <= 500; ++seed) {
        std::mt19937_64 random(seed);
        const auto values = integers_of(random);
        for (const int level : {0, 9}) {
            std::string bytes;
            encode_integers(bytes, values, level);
            Reader in(bytes);
            const auto back = decode_integers(in, values.size());
            ASSERT_TRUE(back) << "seed " << seed;
            ASSERT_EQ(*back, values) << "seed " << seed;
            ASSERT_TRUE(in.at_end()) << "seed " << seed;
        }
    }
}

std::vector<ChunkTable> tables_of(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<ChunkTable> tables(random() % 3 + 1);
    for (ChunkTable& table : tables) {
        table.estimated = random() % 2 != 0;
        const size_t rows = random() % 200;
        int64_t time = 1'790'000'000'000;
        for (size_t i = 0; i < rows; ++i) table.times_ms.push_back(time += static_cast<int64_t>(random() % 40'000));
        for (uint64_t c = random() % 4 + 1; c > 0; --c) {
            ColumnValues values = empty_values(static_cast<ValueKind>(random() % 3));
            const bool odd = random() % 2 != 0;
            for (size_t i = 0; i < rows; ++i) {
                if (auto* numbers = std::get_if<Numbers>(&values))
                    numbers->push_back(odd ? number_of(random) : 20 + static_cast<double>(random() % 50) / 10);
                if (auto* flags = std::get_if<Booleans>(&values)) flags->push_back(static_cast<uint8_t>(random() % 2));
                if (auto* texts = std::get_if<Texts>(&values))
                    texts->push_back(std::string(random() % 5, static_cast<char>('a' + random() % 26)));
            }
            table.columns.push_back({static_cast<SeriesId>(random() % 100'000 + 1), std::move(values)});
        }
    }
    return tables;
}

void expect_same(const ColumnValues& a, const ColumnValues& b) {
    ASSERT_EQ(a.index(), b.index());
    if (const auto* numbers = std::get_if<Numbers>(&a)) {
        const auto& others = std::get<Numbers>(b);
        ASSERT_EQ(numbers->size(), others.size());
        for (size_t i = 0; i < others.size(); ++i) ASSERT_EQ(std::bit_cast<uint64_t>((*numbers)[i]), std::bit_cast<uint64_t>(others[i]));
    } else {
        ASSERT_EQ(a, b);
    }
}

// R1
TEST(Chunk, ReadingsComeBackBitForBit) {
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const auto tables = tables_of(seed);
        const auto back = decode_chunk(encode_chunk(tables, static_cast<int>(seed % 10)));
        ASSERT_TRUE(back) << back.error().text;
        ASSERT_EQ(back->size(), tables.size());
        for (size_t t = 0; t < tables.size(); ++t) {
            ASSERT_EQ((*back)[t].estimated, tables[t].estimated);
            ASSERT_EQ((*back)[t].times_ms, tables[t].times_ms);
            ASSERT_EQ((*back)[t].columns.size(), tables[t].columns.size());
            for (size_t c = 0; c < tables[t].columns.size(); ++c) {
                ASSERT_EQ((*back)[t].columns[c].series, tables[t].columns[c].series);
                expect_same((*back)[t].columns[c].values, tables[t].columns[c].values);
            }
        }
    }
}

// R2
TEST(Chunk, AnyDamageIsAnError) {
    const std::string whole = encode_chunk(tables_of(3), 9);
    for (size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        EXPECT_FALSE(ChunkView::open(damaged));
        EXPECT_FALSE(ChunkView::open(whole.substr(0, i)));
    }
}

// The checksum guards against accidents only: behind a right one, any bytes must still be survived.
TEST(Chunk, AnyBytesBehindARightChecksumAreSurvived) {
    const std::string whole = encode_chunk(tables_of(4), 9);
    for (uint64_t seed = 1; seed <= 3000; ++seed) {
        std::mt19937_64 random(seed);
        std::string bytes = whole.substr(0, whole.size() - 4);
        for (uint64_t n = random() % 4 + 1; n > 0; --n) bytes[random() % std::min<size_t>(bytes.size(), 120)] = static_cast<char>(random());
        uint32_t hash = 2166136261U;
        for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
        Writer end;
        end.u32(hash);
        const auto back = decode_chunk(bytes + end.bytes());
        if (!back) {
            EXPECT_EQ(back.error().code, Code::Corrupt) << "seed " << seed << ": " << back.error().text;
        }
    }
}

TEST(Applied, RemembersWhichAndShrinksWhenAllAreThere) {
    std::string bits;
    set_applied(bits, 5);
    EXPECT_EQ(bits.size(), 1U);
    EXPECT_TRUE(is_applied(bits, 5));
    EXPECT_FALSE(is_applied(bits, 6));
    EXPECT_FALSE(is_applied(bits, 4000));
    for (uint64_t seq = 0; seq < applied_per_block; ++seq) set_applied(bits, seq);
    EXPECT_EQ(bits, applied_all);
    EXPECT_TRUE(is_applied(bits, applied_per_block - 1));
}

TEST(Applied, NoneIsThereBeforeItWasSet) {
    std::string bits;
    for (uint64_t seq = 0; seq < applied_per_block; ++seq) {
        ASSERT_FALSE(is_applied(bits, seq)) << seq;
        set_applied(bits, seq);
        ASSERT_TRUE(is_applied(bits, seq)) << seq;
    }
    EXPECT_EQ(bits.size(), 1U);
}

TEST(Calendar, MonthsAndDaysAgree) {
    EXPECT_EQ(day_of(-1), -1);
    EXPECT_EQ(month_of_day(0), 1970 * 12);
    EXPECT_EQ(month_of_day(-1), 1970 * 12 - 1);
    for (int32_t month = 1890 * 12; month < 2300 * 12; ++month) {
        EXPECT_EQ(month_of_day(first_day_of(month)), month);
        EXPECT_EQ(month_of_day(first_day_of(month + 1) - 1), month);
        EXPECT_EQ(year_of(month), month / 12);
    }
}

TEST(Points, ACursorComesBackAndRubbishDoesNot) {
    const PointCursor cursor{-5, 17, 3};
    EXPECT_EQ(*parse_cursor(to_text(cursor)), cursor);
    for (const char* text : {"", ".", "1", "1.2", "1.2.", "1.2.3.", "a.b.c", "1.2.-3", "99999999999999999999.1.1", " 1.2.3"})
        EXPECT_FALSE(parse_cursor(text)) << text;
}

}  // namespace
}  // namespace basmalin::coordinator
