// The same readings that fleet_load sends or fill_store keeps, as JSON lines for another database's import: an object a series, with at
// most 2,000 values and their times. Ordered by time as they would come.
//   made_up_lines FOLDER PARTS made-up GATEWAYS READINGS_TOTAL
//   made_up_lines FOLDER PARTS library1 CSV.GZ
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "shared/base/clock.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {
namespace {

constexpr size_t values_a_line = 2000;

struct Series {
    std::string head;  // {"metric":{…}
    std::string values;
    std::string times;
    size_t count = 0;
};

class Lines {
  public:
    Lines(const std::string& path, std::string node, int64_t offset_ms)
        : node_(std::move(node)), offset_ms_(offset_ms), file_(std::fopen(path.c_str(), "a")) {
        if (file_ == nullptr) give_up("cannot write " + path);
    }
    ~Lines() {
        for (auto& [key, series] : series_) flush(series);
        std::fclose(file_);
    }
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;

    void add(const Sample& sample) {
        for (const auto& m : sample.measurements) {
            Series& s = series_[sample.device + "/" + m.quantity];
            if (s.head.empty())
                s.head = R"({"metric":{"__name__":")" + m.quantity + R"(","node":")" + node_ + R"(","device":")" + sample.device +
                         R"("},"values":[)";
            char number[32];
            std::snprintf(number, sizeof number, "%.10g", std::get<double>(m.value));
            (s.values += s.count > 0 ? "," : "") += number;
            (s.times += s.count > 0 ? "," : "") += std::to_string(sample.time.ms + offset_ms_);
            if (++s.count == values_a_line) flush(s);
        }
    }

  private:
    void flush(Series& s) {
        if (s.count == 0) return;
        std::fprintf(file_, "%s%s],\"timestamps\":[%s]}\n", s.head.c_str(), s.values.c_str(), s.times.c_str());
        s.values.clear();
        s.times.clear();
        s.count = 0;
    }
    std::string node_;
    int64_t offset_ms_;
    std::FILE* file_;
    std::map<std::string, Series> series_;
};

std::string part(const std::string& folder, size_t n, size_t parts) { return folder + "/part-" + std::to_string(n % parts) + ".jsonl"; }

int run(int count, char** arguments) {
    const std::string what = count > 3 ? arguments[3] : "";
    const size_t parts = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 0;
    const std::string folder = count > 1 ? arguments[1] : "";
    const int64_t now = SystemClock().wall().ms;
    if (parts > 0 && what == "made-up" && count == 6) {
        const size_t gateways = std::strtoul(arguments[4], nullptr, 10);
        const size_t each = std::strtoul(arguments[5], nullptr, 10) / std::max<size_t>(1, gateways);
        for (size_t g = 0; g < gateways; ++g) {
            MadeUpGarden garden(static_cast<uint32_t>(g + 1));
            // Sixty readings a minute, the newest a little before now.
            Lines lines(part(folder, g, parts), "load-" + std::to_string(g + 1), now - static_cast<int64_t>(each) * 1000 - 2'000'000);
            for (size_t n = 0; n < each; n += 3) lines.add(garden.next());
        }
        return 0;
    }
    if (parts > 0 && what == "library1" && count == 5) {
        const auto garden = measured_garden(arguments[4]);
        if (garden.empty()) give_up(std::string("no measured data: ") + arguments[4]);
        for (size_t g = 0; g < 20; ++g) {
            Lines lines(part(folder, g, parts), "garden-" + std::to_string(g + 1),
                        now - garden.back().time.ms - 5LL * 86'400'000 + static_cast<int64_t>(g) * 3'137'003);
            for (const Sample& sample : garden) lines.add(sample);
        }
        return 0;
    }
    give_up("usage: made_up_lines FOLDER PARTS made-up GATEWAYS READINGS_TOTAL | library1 CSV.GZ");
}

}  // namespace
}  // namespace basmalin::bench

int main(int count, char** arguments) { return basmalin::bench::run(count, arguments); }
