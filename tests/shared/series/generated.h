// Bodies made from a seed, and what tests and fuzzers compare them with. The seed of a failure is printed.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "shared/series/codec.h"

namespace basmalin::generated {

template <class Story>
void for_each_seed(uint64_t seeds, const Story& story) {
    for (uint64_t seed = 1; seed <= seeds && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        story(seed);
    }
}

class Dice {
  public:
    explicit Dice(uint64_t seed) : engine_(seed) {}
    uint64_t bits() { return engine_(); }
    uint64_t below(uint64_t n) { return engine_() % n; }
    int64_t between(int64_t a, int64_t b) { return a + static_cast<int64_t>(below(static_cast<uint64_t>(b - a + 1))); }
    bool one_in(uint64_t n) { return below(n) == 0; }

  private:
    std::mt19937_64 engine_;
};

inline uint64_t bits_of(double v) {
    uint64_t bits = 0;
    std::memcpy(&bits, &v, 8);
    return bits;
}
inline double of_bits(uint64_t bits) {
    double v = 0;
    std::memcpy(&v, &bits, 8);
    return v;
}

// What a sensor says: a decimal as strtod would read it.
inline double decimal(int64_t scaled, int decimals) {
    const std::string digits = std::to_string(scaled) + "e-" + std::to_string(decimals);
    return std::strtod(digits.c_str(), nullptr);
}

inline double odd_number(Dice& dice) {
    switch (dice.below(9)) {
        case 0: return std::numeric_limits<double>::quiet_NaN();
        case 1: return of_bits(0x7ff0000000000001 + dice.below(1000));  // signalling, with a payload
        case 2: return std::numeric_limits<double>::infinity();
        case 3: return -std::numeric_limits<double>::infinity();
        case 4: return -0.0;
        case 5: return 0.1 + 0.2;
        case 6: return static_cast<double>(21.4f);
        case 7: return std::numeric_limits<double>::denorm_min();
        default: return of_bits(dice.bits());
    }
}

inline std::string word(Dice& dice, size_t longest) {
    std::string text(1 + dice.below(longest), 'a');
    for (char& c : text) c = static_cast<char>('a' + dice.below(26));
    return text;
}

inline Numbers numbers(Dice& dice, size_t count, uint8_t decimals) {
    Numbers values(count);
    const uint64_t oddity = dice.one_in(3) ? 4 : 1000;
    const bool constant = dice.one_in(4);
    int64_t n = dice.between(-5000, 5000);
    for (double& v : values) {
        v = dice.one_in(oddity) ? odd_number(dice) : decimal(n, decimals);
        if (!constant) n += dice.between(-30, 30);
        if (!constant && dice.one_in(20)) n = dice.between(-(int64_t{1} << 53) + 1, (int64_t{1} << 53) - 1);
    }
    return values;
}

struct Case {
    Body body;
    std::map<uint32_t, Layout> known;
    LayoutLookup lookup() const {
        return [this](uint32_t id) {
            const auto found = known.find(id);
            return found == known.end() ? nullptr : &found->second;
        };
    }
};

inline Layout layout(Dice& dice, uint32_t id) {
    static const char* const quantities[] = {"temperature", "humidity", "soil moisture", "door", "state"};
    Layout made;
    made.id = id;
    made.device = word(dice, 20);
    const size_t columns = 1 + (dice.one_in(20) ? dice.below(64) : dice.below(6));
    for (size_t i = 0; i < columns; ++i) {
        Column column;
        column.kind = dice.one_in(5) ? ValueKind::Boolean : dice.one_in(5) ? ValueKind::Text : ValueKind::Number;
        column.quantity = i < 5 && !dice.one_in(3) ? quantities[i] : word(dice, 12) + std::to_string(i);
        column.unit = dice.one_in(2) ? "Cel" : dice.one_in(2) ? "" : "L/min";
        if (column.kind == ValueKind::Number) column.decimals = static_cast<uint8_t>(dice.one_in(10) ? dice.below(16) : dice.below(4));
        made.columns.push_back(std::move(column));
    }
    return made;
}

inline Rows rows(Dice& dice, const Layout& of) {
    Rows made;
    made.layout = of.id;
    const size_t count = dice.one_in(2) ? 1 : 1 + dice.below(dice.one_in(10) ? 300 : 20);
    int64_t now = dice.one_in(30) ? static_cast<int64_t>(dice.bits()) : dice.between(0, 1'000'000'000);
    for (size_t i = 0; i < count; ++i) {
        made.times_ms.push_back(now);
        now = dice.one_in(50) ? static_cast<int64_t>(dice.bits())
                              : static_cast<int64_t>(static_cast<uint64_t>(now) + static_cast<uint64_t>(dice.between(-10, 61'000)));
    }
    for (const Column& column : of.columns) {
        if (column.kind == ValueKind::Number) {
            made.columns.emplace_back(numbers(dice, count, column.decimals));
        } else if (column.kind == ValueKind::Boolean) {
            Booleans values(count);
            for (uint8_t& v : values) v = static_cast<uint8_t>(dice.below(2));
            made.columns.emplace_back(std::move(values));
        } else {
            Texts values(count);
            for (size_t i = 0; i < count; ++i) {
                if (i > 0 && !dice.one_in(3))
                    values[i] = values[i - 1];
                else if (!dice.one_in(4))
                    values[i] = word(dice, 12) + std::string(dice.below(3), '\0') + "\xff\xc3";
            }
            made.columns.emplace_back(std::move(values));
        }
    }
    return made;
}

inline Case body(uint64_t seed) {
    Dice dice(seed);
    Case made;
    const size_t layouts = 1 + dice.below(12);
    std::vector<Layout> all;
    for (size_t i = 0; i < layouts; ++i) all.push_back(layout(dice, static_cast<uint32_t>(dice.one_in(20) ? UINT32_MAX - i : i + 1)));
    for (const Layout& one : all) {
        if (dice.one_in(2))
            made.body.definitions.push_back(one);
        else
            made.known.emplace(one.id, one);
    }
    const size_t groups = dice.below(15);
    for (size_t i = 0; i < groups; ++i) made.body.groups.push_back(rows(dice, all[dice.below(layouts)]));
    return made;
}

// Equal, and every number bit for bit.
inline bool same(const Numbers& a, const Numbers& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}
inline bool same(const Body& a, const Body& b) {
    if (a.definitions != b.definitions || a.groups.size() != b.groups.size()) return false;
    for (size_t g = 0; g < a.groups.size(); ++g) {
        const Rows& x = a.groups[g];
        const Rows& y = b.groups[g];
        if (x.layout != y.layout || x.times_ms != y.times_ms || x.columns.size() != y.columns.size()) return false;
        for (size_t c = 0; c < x.columns.size(); ++c) {
            if (x.columns[c].index() != y.columns[c].index()) return false;
            const auto* numbers_of_x = std::get_if<Numbers>(&x.columns[c]);
            if (numbers_of_x != nullptr ? !same(*numbers_of_x, std::get<Numbers>(y.columns[c])) : x.columns[c] != y.columns[c])
                return false;
        }
    }
    return true;
}

}  // namespace basmalin::generated
