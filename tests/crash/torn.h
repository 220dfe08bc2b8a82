// A file torn at a random place: a few bytes flipped, a block of garbage, or its end cut off. Every tear follows from its seed, which
// is printed with a failure: BASMALIN_TORN_SEED replays it alone; BASMALIN_TORN_ROUNDS asks for more or fewer than 100 of them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/ids.h"

namespace basmalin::torn {

// The one absolute time that is demanded: a start on a damaged file.
constexpr Duration start_within = seconds(5);

inline std::vector<uint64_t> seeds() {
    if (const char* one = std::getenv("BASMALIN_TORN_SEED")) return {std::strtoull(one, nullptr, 10)};
    const char* asked = std::getenv("BASMALIN_TORN_ROUNDS");
    const uint64_t rounds = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 100;
    const uint64_t first = random_u64() % 1'000'000 * 1000;  // every run looks at other places
    std::vector<uint64_t> all;
    for (uint64_t i = 0; i < rounds; ++i) all.push_back(first + i);
    return all;
}

enum class How : uint8_t { Flip, Garbage, Cut };
struct Tear {
    How how = How::Flip;
    int64_t at = 0;  // the first byte that is not what it was
    std::string text;
};

inline Tear tear(const std::string& file, std::mt19937_64& random) {
    const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
    if (size == 0) return {};
    Tear t{.how = static_cast<How>(random() % 3), .at = static_cast<int64_t>(random() % static_cast<uint64_t>(size)), .text = {}};
    const std::string name =
        std::filesystem::path(file).filename().string() + " at " + std::to_string(t.at) + " of " + std::to_string(size);
    if (t.how == How::Cut) {
        std::filesystem::resize_file(file, static_cast<uint64_t>(t.at));
        t.text = "cut " + name;
        return t;
    }
    const int64_t length = std::min<int64_t>(size - t.at, t.how == How::Flip ? 1 : 512);
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    for (int64_t i = 0; i < length; ++i) {
        f.seekg(t.at + i);
        const int c = f.get();
        f.seekp(t.at + i);
        f.put(static_cast<char>(c ^ static_cast<int>(1 + random() % 255)));
    }
    t.text = std::to_string(length) + " bytes of " + name;
    return t;
}

inline void copy(const std::string& from, const std::string& to) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to);
}

}  // namespace basmalin::torn
