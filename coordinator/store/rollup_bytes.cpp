// How rollups are written: what the series of a device have in common once, then each series by itself.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>

#include "coordinator/store/calendar.h"
#include "coordinator/store/checksum.h"
#include "coordinator/store/integers.h"
#include "coordinator/store/range_coder.h"
#include "coordinator/store/rollup.h"
#include "shared/base/bytes.h"

namespace basmalin::coordinator {
namespace {

constexpr uint8_t format = 2;
constexpr uint8_t numbers_raw = 0x20;  // the doubles' 64 bits; below: scaled by that many decimals
constexpr int decimals_max = 15;
constexpr int places_level = 1;
constexpr double powers[decimals_max + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
constexpr double scaled_max = 4503599627370496.0;  // 2^52

std::unexpected<Error> damaged(std::string_view what) { return fail(Code::Corrupt, "rollup: " + std::string(what)); }

// Which buckets have numbers, and how many. Quantities that are reported together have these in common.
struct Occupied {
    std::vector<int64_t> places, counts;
    auto operator<=>(const Occupied&) const = default;
};

Occupied occupied(const DayBuckets& buckets) {
    Occupied found;
    for (size_t i = 0; i < buckets.size(); ++i) {
        if (buckets[i].count == 0) continue;
        found.places.push_back(static_cast<int64_t>(i));
        found.counts.push_back(static_cast<int64_t>(buckets[i].count));
    }
    return found;
}

// The numbers of a series, one of each an occupied bucket. Scaled: excess is what the sum is more than count times the least.
// Raw: bits, and excess is the sum's.
struct Figures {
    std::vector<uint64_t> least, range, excess;
};

std::optional<int64_t> exactly(double value, int decimals) {
    const double scaled = value * powers[decimals];
    if (!(std::abs(scaled) < scaled_max)) return std::nullopt;
    const int64_t n = std::llround(scaled);
    if (std::bit_cast<uint64_t>(static_cast<double>(n) / powers[decimals]) != std::bit_cast<uint64_t>(value)) return std::nullopt;
    return n;
}

// The sum as the decimal it nearly is. Adding `count` doubles errs by less than count units in the last place of the sum of their
// magnitudes, which is at most count * max(|min|, |max|).
std::optional<int64_t> nearly(const Aggregate& bucket, int decimals) {
    const double scaled = bucket.sum * powers[decimals];
    if (!(std::abs(scaled) < scaled_max)) return std::nullopt;
    const int64_t n = std::llround(scaled);
    const auto count = static_cast<double>(bucket.count);
    const double error = count * count * std::max(std::abs(bucket.min), std::abs(bucket.max)) * 2.3e-16 * powers[decimals];
    if (error > 0.2 || std::abs(scaled - static_cast<double>(n)) > error + 1e-9) return std::nullopt;
    return n;
}

std::optional<Figures> scaled_figures(const DayBuckets& buckets, int decimals) {
    Figures figures;
    for (const Aggregate& bucket : buckets) {
        if (bucket.count == 0) continue;
        const auto least = exactly(bucket.min, decimals);
        const auto most = exactly(bucket.max, decimals);
        const auto sum = nearly(bucket, decimals);
        if (!least || !most || !sum) return std::nullopt;
        figures.least.push_back(static_cast<uint64_t>(*least));
        figures.range.push_back(static_cast<uint64_t>(*most) - static_cast<uint64_t>(*least));
        figures.excess.push_back(static_cast<uint64_t>(*sum) - static_cast<uint64_t>(*least) * bucket.count);
    }
    return figures;
}

Figures raw_figures(const DayBuckets& buckets) {
    Figures figures;
    for (const Aggregate& bucket : buckets) {
        if (bucket.count == 0) continue;
        figures.least.push_back(std::bit_cast<uint64_t>(bucket.min));
        figures.range.push_back(std::bit_cast<uint64_t>(bucket.max) - std::bit_cast<uint64_t>(bucket.min));
        figures.excess.push_back(std::bit_cast<uint64_t>(bucket.sum));
    }
    return figures;
}

// Decimals for which all figures are whole, or none. Values between min and max may have more decimals than they: two more are tried.
int decimals_for(const DayBuckets& buckets, Figures& figures) {
    int decimals = 0;
    for (const Aggregate& bucket : buckets) {
        if (bucket.count == 0) continue;
        for (const double value : {bucket.min, bucket.max}) {
            const int needed = decimals_of(value);
            if (needed < 0) return -1;
            decimals = std::max(decimals, needed);
        }
    }
    for (int more = 0; more <= 2 && decimals + more <= decimals_max; ++more) {
        auto scaled = scaled_figures(buckets, decimals + more);
        if (!scaled) continue;
        figures = std::move(*scaled);
        return decimals + more;
    }
    return -1;
}

SignedSize signed_size(uint64_t value) {
    const bool negative = static_cast<int64_t>(value) < 0;
    return {negative ? 0 - value : value, negative};
}
uint64_t value_of(SignedSize size) { return size.negative ? 0 - size.size : size.size; }

// One bucket after the other, in units: how the least moves, the range, and how far the excess is from what a mean in the middle of
// the range would make, which is rarely longer than that itself.
class BucketModel {
  public:
    struct Bucket {
        uint64_t step = 0;  // of the least
        uint64_t range = 0;
        uint64_t excess = 0;
    };
    template <class Coder>
    Bucket code(Coder& coder, bool raw, uint64_t count, const Bucket& wanted) {
        Bucket found;
        const SignedSize step = steps_.code(coder, 0, 0, signed_size(wanted.step));
        found.step = value_of(step);
        found.range = ranges_.code_size(coder, 0, {wanted.range, false}).size;
        const uint64_t middle = raw ? last_excess_ : count * found.range / 2;
        const SignedSize distance = signed_size(wanted.excess - middle);
        const int most = raw ? 0 : static_cast<int>(std::bit_width(middle));
        const int wanted_shorter = most - static_cast<int>(std::bit_width(distance.size));
        SignedSize off;
        if (coder.bit(fits_, wanted_shorter >= 0)) {
            int shorter = 0;
            while (shorter < most && coder.bit(shorter_[static_cast<size_t>(shorter)], shorter < wanted_shorter)) ++shorter;
            off.size = excesses_.code_below(coder, most - shorter, distance.size);
            if (off.size > 0) off.negative = coder.bit(sign_, distance.negative);
        } else {
            off = excesses_.code(coder, 0, 0, distance);
        }
        found.excess = middle + value_of(off);
        last_excess_ = found.excess;
        return found;
    }

  private:
    NumberModel<1, 1> steps_, ranges_, excesses_;
    Odds fits_;
    std::array<Odds, 64> shorter_;
    Odds sign_;
    uint64_t last_excess_ = 0;
};

// u8 form, svarint first least, varint unit, then the coded buckets.
std::string encode_series(const DayBuckets& buckets, const std::vector<int64_t>& counts) {
    Figures figures;
    const int decimals = decimals_for(buckets, figures);
    const bool raw = decimals < 0;
    if (raw) figures = raw_figures(buckets);
    const size_t n = counts.size();
    uint64_t unit = raw ? 1 : 0;
    for (size_t i = 0; i < n && unit != 1; ++i)
        for (const uint64_t figure : {signed_size(figures.least[i] - figures.least[0]).size, figures.range[i], figures.excess[i]})
            unit = std::gcd(unit, figure);
    Writer out;
    out.u8(raw ? numbers_raw : static_cast<uint8_t>(decimals));
    out.svarint(static_cast<int64_t>(figures.least[0]));
    out.varint(unit);
    if (unit == 0) return out.take();
    BucketModel model;
    RangeWriter coder;
    for (size_t i = 0; i < n; ++i) {
        const SignedSize step = signed_size(figures.least[i] - figures.least[i == 0 ? 0 : i - 1]);
        model.code(coder, raw, static_cast<uint64_t>(counts[i]),
                   {value_of({step.size / unit, step.negative}), figures.range[i] / unit, figures.excess[i] / unit});
    }
    out.raw(coder.take());
    return out.take();
}

Result<DayBuckets> decode_series(std::string_view bytes, const Occupied& occupied, int64_t step_ms) {
    Reader in(bytes);
    const uint8_t form = in.u8();
    auto least = static_cast<uint64_t>(in.svarint());
    const uint64_t unit = in.varint();
    if (!in.ok() || (form > decimals_max && form != numbers_raw)) return damaged("a series");
    const bool raw = form == numbers_raw;
    DayBuckets buckets = empty_day(step_ms);
    BucketModel model;
    RangeReader coder(in.raw(in.left()));
    for (size_t i = 0; i < occupied.places.size(); ++i) {
        Aggregate& bucket = buckets[static_cast<size_t>(occupied.places[i])];
        bucket.count = static_cast<uint64_t>(occupied.counts[i]);
        BucketModel::Bucket found;
        if (unit != 0) found = model.code(coder, raw, bucket.count, {});
        least += found.step * unit;
        const uint64_t most = least + found.range * unit;
        const uint64_t sum = found.excess * unit + (raw ? 0 : least * bucket.count);
        const auto number = [&](uint64_t value) {
            return raw ? std::bit_cast<double>(value) : static_cast<double>(static_cast<int64_t>(value)) / powers[form];
        };
        bucket.min = number(least);
        bucket.max = number(most);
        bucket.sum = number(sum);
    }
    return buckets;
}

Result<Occupied> decode_occupied(std::string_view bytes, size_t n, size_t day_buckets) {
    Reader in(bytes);
    auto places = decode_integers(in, n);
    if (!places) return pass(places, "rollup");
    auto counts = decode_integers(in, n);
    if (!counts) return pass(counts, "rollup");
    for (const int64_t place : *places)
        if (place < 0 || place >= static_cast<int64_t>(day_buckets)) return damaged("a bucket is out of its day");
    return Occupied{std::move(*places), std::move(*counts)};
}

std::string encode_row(const std::vector<std::pair<SeriesId, const DayBuckets*>>& row) {
    std::map<Occupied, std::vector<std::pair<SeriesId, const DayBuckets*>>> groups;
    for (const auto& series : row) groups[occupied(*series.second)].push_back(series);
    Writer directory;
    std::string sections;
    directory.u8(format);
    directory.varint(groups.size());
    for (const auto& [occupied, members] : groups) {
        std::string shared;
        encode_integers(shared, occupied.places, places_level);
        encode_integers(shared, occupied.counts, places_level);
        directory.varint(occupied.places.size());
        directory.varint(shared.size());
        directory.varint(members.size());
        sections += shared;
        SeriesId before = 0;
        for (const auto& [id, buckets] : members) {
            const std::string section = encode_series(*buckets, occupied.counts);
            directory.varint(static_cast<uint64_t>(id - before));
            directory.varint(section.size());
            sections += section;
            before = id;
        }
    }
    std::string out = directory.take() + sections;
    Writer end;
    end.u32(checksum_of(out));
    return out + end.bytes();
}

}  // namespace

std::vector<RollupRow> encode_rollups(const SeriesBuckets& rollups) {
    std::vector<RollupRow> rows;
    std::vector<std::pair<SeriesId, const DayBuckets*>> row;
    const auto close = [&] {
        if (!row.empty()) rows.push_back({row.front().first, row.back().first, encode_row(row)});
        row.clear();
    };
    for (const auto& [id, buckets] : rollups) {
        if (is_empty(buckets)) continue;
        row.emplace_back(id, &buckets);
        if (row.size() == rollup_row_series_max) close();
    }
    close();
    return rows;
}

Result<SeriesBuckets> decode_rollups(std::string_view bytes, int64_t step_ms, std::optional<SeriesId> only) {
    if (bytes.size() < 6) return damaged("cut short");
    Reader end(bytes.substr(bytes.size() - 4));
    bytes.remove_suffix(4);
    if (end.u32() != checksum_of(bytes)) return damaged("its checksum does not match");
    Reader in(bytes);
    if (in.u8() != format) return damaged("unknown format");
    struct Group {
        size_t buckets = 0;
        size_t shared_bytes = 0;
        std::vector<std::pair<SeriesId, size_t>> members;  // and the length
    };
    const auto day_buckets = static_cast<size_t>(day_ms / step_ms);
    std::vector<Group> groups(in.count(3));
    if (groups.size() > rollup_row_series_max) return damaged("its directory");
    for (Group& group : groups) {
        group.buckets = in.varint();
        group.shared_bytes = in.varint();
        group.members.resize(in.count(2));
        uint64_t before = 0;
        for (auto& [id, length] : group.members) {
            before += in.varint();
            id = static_cast<SeriesId>(before);
            length = in.varint();
        }
        if (!in.ok() || group.buckets > day_buckets || group.buckets == 0 || group.members.size() > rollup_row_series_max)
            return damaged("its directory");
    }
    SeriesBuckets found;
    for (const Group& group : groups) {
        const std::string_view shared = in.raw(group.shared_bytes);
        std::optional<Occupied> occupied;
        for (const auto& [id, length] : group.members) {
            const std::string_view section = in.raw(length);
            if (!in.ok()) return damaged("its sections");
            if (only && *only != id) continue;
            if (!occupied) {
                auto decoded = decode_occupied(shared, group.buckets, day_buckets);
                if (!decoded) return pass(decoded);
                occupied = std::move(*decoded);
            }
            auto buckets = decode_series(section, *occupied, step_ms);
            if (!buckets) return pass(buckets);
            found.insert_or_assign(id, std::move(*buckets));
        }
    }
    if (!in.ok() || !in.at_end()) return damaged("its sections");
    return found;
}

}  // namespace basmalin::coordinator
