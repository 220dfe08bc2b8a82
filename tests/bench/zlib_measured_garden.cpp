#include <zlib.h>

#include <charconv>

#include "tests/bench/made_up_garden.h"

namespace basmalin::bench {
namespace {

constexpr size_t file_bytes_max = size_t{64} << 20;

std::string unpacked(const std::string& path) {
    std::string out;
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr) return out;
    char block[65536];
    for (int n = 0; out.size() < file_bytes_max && (n = gzread(file, block, sizeof block)) > 0;) out.append(block, static_cast<size_t>(n));
    gzclose(file);
    return out;
}

template <class T>
bool parse(std::string_view text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

std::string_view cut(std::string_view& rest, char at) {
    const size_t end = rest.find(at);
    const auto word = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return word;
}

}  // namespace

std::vector<Sample> measured_garden(const std::string& path) {
    struct Quantity {
        const char* name;
        const char* unit;
    };
    constexpr Quantity quantities[] = {{"case_temperature", "Cel"}, {"battery_voltage", "V"}, {"humidity", "%"},
                                       {"temperature", "Cel"},      {"par", "1"},             {"tsr", "1"}};
    std::vector<Sample> out;
    const std::string text = unpacked(path);
    std::string_view rest = text;
    cut(rest, '\n');
    int64_t first_ms = 0;
    while (!rest.empty()) {
        std::string_view line = cut(rest, '\n');
        int64_t time_ms = 0;
        if (!parse(cut(line, ','), time_ms)) continue;
        if (first_ms == 0) first_ms = time_ms;
        Sample sample{"mote" + std::string(cut(line, ',')), MonoTime{time_ms - first_ms + 100'000}, {}, false};
        for (const auto& quantity : quantities) {
            double value = 0;
            if (parse(cut(line, ','), value)) sample.measurements.push_back({quantity.name, quantity.unit, value});
        }
        if (sample.measurements.size() == std::size(quantities)) out.push_back(std::move(sample));
    }
    return out;
}

}  // namespace basmalin::bench
