// Bits in as few bytes as their odds allow: a binary range coder whose odds learn from what came before. What is said of one bit is the
// same for the writer and the reader, so one function, taking either, describes a format once:
//     bool bit(Odds&, bool wanted)     writes `wanted`, or reads; either returns the bit
//     bool even(bool wanted)           a bit of which nothing is known
// Whole numbers only: every machine writes the same bytes. Pure.
// R1  What a RangeWriter wrote, a RangeReader of the same calls reads.
// R2  Any bytes are read as some bits; after their end come zeros, so a caller bounds how much it asks for.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace basmalin::coordinator {

// How often a bit was 1, in 1/65536: the mean at first, then weighted to the last thirty or so.
class Odds {
  public:
    uint32_t of_one() const { return of_one_ < least ? least : of_one_ > 65536 - least ? 65536 - least : of_one_; }
    void learn(bool bit) {
        const int64_t target = bit ? 65535 : 0;
        of_one_ = static_cast<uint16_t>(of_one_ + (((target - of_one_) * steps[seen_]) >> 16));
        if (seen_ + 1U < steps.size()) ++seen_;
    }

  private:
    static constexpr uint32_t least = 32;
    static constexpr std::array<int64_t, 32> steps = [] {
        std::array<int64_t, 32> list{};
        for (size_t i = 0; i < list.size(); ++i) list[i] = int64_t{65536 * 10} / (static_cast<int64_t>(i) * 10 + 16);
        return list;
    }();
    uint16_t of_one_ = 32768;
    uint8_t seen_ = 0;
};

class RangeWriter {
  public:
    bool bit(Odds& odds, bool wanted) {
        put(odds.of_one(), wanted);
        odds.learn(wanted);
        return wanted;
    }
    bool even(bool wanted) {
        put(32768, wanted);
        return wanted;
    }
    // As short as it goes: a byte inside of the range, then the zeros that the reader makes up.
    std::string take() {
        if (low_ > 0) bytes_ += static_cast<char>((low_ >> 24) + 1);
        while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
        return std::move(bytes_);
    }

  private:
    void put(uint32_t of_one, bool wanted) {
        const uint32_t middle = low_ + static_cast<uint32_t>((uint64_t{high_ - low_} * of_one) >> 16);
        (wanted ? high_ : low_) = wanted ? middle : middle + 1;
        while (((low_ ^ high_) >> 24) == 0) {
            bytes_ += static_cast<char>(high_ >> 24);
            low_ <<= 8;
            high_ = (high_ << 8) | 0xff;
        }
    }
    std::string bytes_;
    uint32_t low_ = 0;
    uint32_t high_ = 0xffffffff;
};

class RangeReader {
  public:
    explicit RangeReader(std::string_view bytes) : bytes_(bytes) {
        for (int i = 0; i < 4; ++i) code_ = (code_ << 8) | next();
    }
    bool bit(Odds& odds, bool) {
        const bool is_one = take(odds.of_one());
        odds.learn(is_one);
        return is_one;
    }
    bool even(bool) { return take(32768); }

  private:
    uint32_t next() { return at_ < bytes_.size() ? static_cast<uint8_t>(bytes_[at_++]) : 0; }
    bool take(uint32_t of_one) {
        const uint32_t middle = low_ + static_cast<uint32_t>((uint64_t{high_ - low_} * of_one) >> 16);
        const bool is_one = code_ <= middle;
        (is_one ? high_ : low_) = is_one ? middle : middle + 1;
        while (((low_ ^ high_) >> 24) == 0) {
            low_ <<= 8;
            high_ = (high_ << 8) | 0xff;
            code_ = (code_ << 8) | next();
        }
        return is_one;
    }
    std::string_view bytes_;
    size_t at_ = 0;
    uint32_t code_ = 0;
    uint32_t low_ = 0;
    uint32_t high_ = 0xffffffff;
};

// Numbers around zero: how many bits one has, its sign, its leading bits, each with odds of their own, by a context that the caller
// knows beforehand.
struct SignedSize {
    uint64_t size = 0;
    bool negative = false;
};

template <size_t contexts, size_t sign_contexts>
class NumberModel {
  public:
    template <class Coder>
    SignedSize code(Coder& coder, size_t context, size_t sign_context, SignedSize wanted) {
        SignedSize found = code_size(coder, context, wanted);
        if (found.size > 0) found.negative = coder.bit(signs_[sign_context], wanted.negative);
        return found;
    }
    template <class Coder>
    SignedSize code_size(Coder& coder, size_t context, SignedSize wanted) {
        const int wanted_width = static_cast<int>(std::bit_width(wanted.size));
        auto& odds = widths_[context];
        int width = 0;
        while (width < 64 && coder.bit(odds[static_cast<size_t>(width)], width < wanted_width)) ++width;
        return {code_below(coder, width, wanted.size), false};
    }
    // What is below the leading bit of a number of `width` bits.
    template <class Coder>
    uint64_t code_below(Coder& coder, int width, uint64_t wanted) {
        if (width == 0) return 0;
        uint64_t size = 1;
        auto& odds = below_[static_cast<size_t>(width - 1)];
        for (int left = width - 2; left >= 0; --left) {
            const bool bit = ((wanted >> left) & 1) != 0;
            size = size * 2 + (size < odds.size() ? coder.bit(odds[size], bit) : coder.even(bit));
        }
        return size;
    }

  private:
    std::array<std::array<Odds, 64>, contexts> widths_;
    std::array<Odds, sign_contexts> signs_;
    std::array<std::array<Odds, 32>, 64> below_;
};

}  // namespace basmalin::coordinator
