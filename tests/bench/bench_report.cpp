#include "tests/bench/bench_report.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "shared/base/json.h"

namespace basmalin::bench {

void report(const Figure& figure) {
    Json line = Json::object();
    line.set("what", figure.what);
    line.set("value", figure.value);
    line.set("unit", figure.unit);
    const auto target = figure.at_least ? figure.at_least : figure.at_most;
    line.set("target", target ? Json(*target) : Json());
    const bool met = figure.at_least ? figure.value >= *figure.at_least : !figure.at_most || figure.value <= *figure.at_most;
    line.set("met", target ? Json(met) : Json());
    line.set("peer", figure.peer.empty() ? Json() : Json(figure.peer));
    line.set("peer_value", figure.peer_value ? Json(*figure.peer_value) : Json());
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median_rate(const std::function<double()>& work) {
    std::vector<double> rates;
    for (int round = 0; round < 5; ++round) {
        double done = 0;
        const double began = seconds_now();
        double took = 0;
        while (took < 0.3) {
            done += work();
            took = seconds_now() - began;
        }
        rates.push_back(done / took);
    }
    std::sort(rates.begin(), rates.end());
    return rates[rates.size() / 2];
}

void give_up(const std::string& sentence) {
    std::fprintf(stderr, "%s\n", sentence.c_str());
    std::exit(1);
}

}  // namespace basmalin::bench
