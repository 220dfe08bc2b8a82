// Any history of gateways, losses, repeats, crashes and maintenance, beside a naive model: the multiset of readings sealed.
#include <cmath>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;

class StoreHistory : public StoreTest {
  protected:
    struct Model {
        Lines lines;
        std::map<std::pair<std::string, int64_t>, std::vector<double>> hours;  // (series, hour) -> numbers
    };
    void note(Model& model, const Gateway& gateway, const Rows& rows) {
        model.lines = model.lines + gateway.expected(rows, gateway.offset_ms);
        if (rows.layout != 1) return;
        for (size_t c = 0; c < 2; ++c)
            for (size_t i = 0; i < rows.times_ms.size(); ++i)
                model
                    .hours[{gateway.node + "/bed1/" + (c == 0 ? "temperature" : "moisture"),
                            floor_divide(rows.times_ms[i] + gateway.offset_ms, hour_ms)}]
                    .push_back(std::get<Numbers>(rows.columns[c])[i]);
    }
    void live(uint64_t seed, int rounds);
};

void StoreHistory::live(uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    const auto below = [&](uint64_t n) { return random() % n; };
    Model model;
    std::vector<Gateway> gateways;
    for (uint64_t i = 0; i < 3; ++i) {
        Gateway gateway;
        gateway.node = "g" + std::to_string(i);
        gateway.stream = random() | 1;
        gateways.push_back(gateway);
    }
    std::vector<IncomingBatch> unsent, sent;
    int64_t now = noon_ms;
    for (int round = 0; round < rounds; ++round) {
        now += static_cast<int64_t>(below(5 * hour_ms));
        for (Gateway& gateway : gateways) {
            gateway.mono_ms = std::max(gateway.mono_ms, now - gateway.offset_ms - static_cast<int64_t>(below(hour_ms)));
            if (below(10) == 0) {  // a reboot
                gateway.boot_no++;
                gateway.offset_ms = now;
                gateway.mono_ms = 1000;
                gateway.synced = below(2) == 0;
            }
            for (uint64_t i = below(4); i > 0; --i) {
                std::vector<double> values(1 + below(20));
                for (double& v : values) v = static_cast<double>(below(500)) / 10;
                const Rows beds = gateway.bed_rows(values);
                std::vector<Rows> groups{beds};
                note(model, gateway, beds);
                if (below(3) == 0) {
                    groups.push_back({2, {gateway.mono_ms}, {Booleans{static_cast<uint8_t>(below(2))}, Texts{std::string(below(4), 'x')}}});
                    note(model, gateway, groups.back());
                }
                gateway.define = below(3) != 0;
                unsent.push_back(gateway.seal(groups));
            }
            if (!gateway.synced && below(3) == 0) gateway.synced = true;
        }
        std::shuffle(unsent.begin(), unsent.end(), random);
        std::vector<IncomingBatch> arriving;
        for (uint64_t i = below(unsent.size() + 1); i > 0; --i) {
            arriving.push_back(unsent.back());
            sent.push_back(unsent.back());
            unsent.pop_back();
        }
        for (uint64_t i = below(4); i > 0 && !sent.empty(); --i) arriving.push_back(sent[below(sent.size())]);
        for (IncomingBatch& batch : arriving) batch.received = WallTime{now + hour_ms};
        commit(arriving);
        if (below(4) == 0) {
            int left = static_cast<int>(below(3));
            store->at_point = [left](std::string_view) mutable -> Result<void> {
                if (left-- <= 0) return fail(Code::Unavailable, "power cut");
                return {};
            };
        }
        for (uint64_t steps = below(20); steps > 0; --steps) {
            const auto more = store->maintain(WallTime{now});
            if (!more || !*more) break;
        }
        store->at_point = nullptr;
        if (below(5) == 0) open();
    }
    // The last things come, every boot's clock is told, and all is compacted.
    for (IncomingBatch& batch : unsent) batch.received = WallTime{now + hour_ms};
    commit(unsent);
    for (Gateway& gateway : gateways) {
        gateway.define = true;
        gateway.synced = true;
        const Rows last = gateway.bed_rows({1.0});
        note(model, gateway, last);
        IncomingBatch batch = gateway.seal({last});
        batch.received = WallTime{now + hour_ms};
        commit({batch});
        EXPECT_EQ(store->marks(gateway.node, {gateway.stream})[0].mark, gateway.seq);
    }
    const auto settled = [](const Lines& lines) {  // a boot that never synced keeps its estimates: compare those without times
        Lines bare;
        for (const std::string& text : lines) {
            const bool estimated = text.back() == '~';
            bare.insert(estimated ? text.substr(0, text.find('@')) + text.substr(text.find('='), text.rfind('~') - text.find('=')) : text);
        }
        return bare;
    };
    const auto compare = [&](const char* when) {
        Lines read = readings(0, noon_ms * 2, 1 + below(5000));
        EXPECT_EQ(read.size(), model.lines.size()) << when;
        size_t estimated = 0;
        for (const std::string& text : read) estimated += text.back() == '~' ? 1 : 0;
        if (estimated == 0) {
            EXPECT_EQ(read, model.lines) << when;
        } else {
            for (const std::string& text : settled(read)) {
                if (text.find('@') == std::string::npos) continue;
                EXPECT_TRUE(model.lines.contains(text)) << when << " " << text;
            }
        }
        if (estimated > 0) return;
        for (const auto& [id, name] : names()) {
            auto buckets =
                (*store->reader())->buckets({{id}, WallTime{noon_ms - 1000 * hour_ms}, WallTime{now + 1000 * hour_ms}}, hours(1));
            ASSERT_TRUE(buckets) << buckets.error().message();
            size_t found = 0;
            for (const Bucket& bucket : *buckets) {
                const auto numbers = model.hours.find({name, bucket.start.ms / hour_ms});
                if (numbers == model.hours.end()) {
                    EXPECT_EQ(name.substr(3), "pump/open") << when;
                    continue;
                }
                ++found;
                EXPECT_EQ(bucket.count, numbers->second.size()) << when;
                EXPECT_EQ(bucket.min, *std::min_element(numbers->second.begin(), numbers->second.end()));
                EXPECT_EQ(bucket.max, *std::max_element(numbers->second.begin(), numbers->second.end()));
                double sum = 0;
                for (const double v : numbers->second) sum += v;
                EXPECT_NEAR(bucket.sum, sum, 1e-6);
            }
            size_t wanted = 0;
            for (const auto& [key, numbers] : model.hours) wanted += key.first == name ? 1 : 0;
            EXPECT_EQ(found, wanted) << when << " " << name;
        }
    };
    compare("before compaction");
    maintain(now + 20 * 24 * hour_ms);
    EXPECT_EQ(stats().hot_batches, 0);
    compare("after compaction");
    open();
    compare("after a restart");
}

TEST_F(StoreHistory, EveryReadingIsThereExactlyOnceWhateverHappens) {
    for (uint64_t seed = 1; seed <= 25 && !HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::filesystem::remove_all(options.folder);
        options.folder = ::testing::TempDir() + "store-" + to_hex(random_u64());
        open();
        live(seed, 25);
    }
}

}  // namespace
}  // namespace basmalin::coordinator
