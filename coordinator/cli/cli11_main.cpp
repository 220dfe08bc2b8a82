// basmalin: what the coordinator knows, in a terminal. Exit codes: 0 done, 1 refused or no answer, 2 the command's words are off.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <thread>

#include "coordinator/cli/commands.h"

namespace {

using namespace basmalin;
using namespace basmalin::coordinator;

volatile std::sig_atomic_t interrupted = 0;

void write_out(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) interrupted = 1;
    std::fflush(stdout);
}

int finish(const Result<void>& done) {
    if (done) return 0;
    std::fprintf(stderr, "basmalin: %s\n", done.error().message().c_str());
    return 1;
}

struct Options {
    std::string url = "http://127.0.0.1:8080";
    std::string token_file;
    bool json = false;
    ListFilter filter;
    std::string gaps_node;
    ReadingsRequest readings;
};

void declare_lists(CLI::App& app, Options& options) {
    app.add_subcommand("status", "Is the coordinator well, and every garden at a glance");
    app.add_subcommand("gardens", "Gardens with their gateways and devices");
    auto* nodes = app.add_subcommand("nodes", "Gateways: presence, version, what waits in their buffers");
    nodes->add_option("--garden", options.filter.garden, "only of this garden");
    nodes->add_option("--presence", options.filter.state, "only: online, offline, lost or unknown");
    auto* devices = app.add_subcommand("devices", "Devices: state, battery, link, firmware");
    devices->add_option("--garden", options.filter.garden, "only of this garden");
    devices->add_option("--node", options.filter.node, "only of this gateway");
    devices->add_option("--state", options.filter.state, "only: ok, late, silent, fault or unknown");
    auto* series = app.add_subcommand("series", "Every quantity of every device, with its last value");
    series->add_option("--node", options.filter.node, "only of this gateway");
    series->add_option("--device", options.filter.device, "only of this device");
    series->add_option("--quantity", options.filter.state, "only this quantity");
    auto* gaps = app.add_subcommand("gaps", "Readings that were lost, as the gateways reported it");
    gaps->add_option("node", options.gaps_node, "only of this gateway");
}

void declare_readings(CLI::App& app, ReadingsRequest& readings) {
    auto* command = app.add_subcommand("readings", "Readings of a gateway, a device or one quantity");
    command->add_option("node", readings.what, "NODE, NODE/DEVICE or NODE/DEVICE/QUANTITY")->required();
    command->add_option("--since", readings.since, "from when: 90s, 10m, 24h, 7d ago, or 2026-11-22T17:35:00Z")->capture_default_str();
    command->add_option("--until", readings.until, "to when, likewise; now if not given");
    command->add_option("--step", readings.step, "min, mean and max of each 5m, 1h, 1d …");
    command->add_flag("--csv", readings.csv, "as CSV");
    command->add_flag("--follow,-f", readings.follow, "go on with new readings until Ctrl-C");
    readings.go_on = [] { return interrupted == 0; };
    readings.pause = [](Duration wait) {
        for (int64_t slept = 0; slept < wait.ms && interrupted == 0; slept += 100) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    };
}

int run(const std::string& command, const Options& options) {
    auto transport = make_httplib_transport(options.url);
    if (!transport) {
        std::fprintf(stderr, "basmalin: %s\n", transport.error().message().c_str());
        return 2;
    }
    auto token = read_token(options.token_file);
    if (!token) {
        std::fprintf(stderr, "basmalin: %s\n", token.error().message().c_str());
        return 1;
    }
    Client client(std::move(*transport), options.url, *token);
    const SystemClock clock;
    const auto complain = [](const std::string& text) { std::fprintf(stderr, "basmalin: %s\n", text.c_str()); };
    const Terminal terminal{.write = write_out, .complain = complain, .clock = &clock, .json = options.json, .colours = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr};
    if (command == "status") return finish(show_status(client, terminal));
    if (command == "gardens") return finish(show_gardens(client, terminal));
    if (command == "nodes") return finish(show_nodes(client, terminal, options.filter));
    if (command == "devices") return finish(show_devices(client, terminal, options.filter));
    if (command == "series") return finish(show_series(client, terminal, options.filter));
    if (command == "gaps") return finish(show_gaps(client, terminal, options.gaps_node));
    return finish(show_readings(client, terminal, options.readings));
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("What the coordinator knows of the fleet.\nExit codes: 0 done, 1 refused or no answer, 2 the command's words are off.", "basmalin");
    app.set_version_flag("--version", std::string("basmalin " BASMALIN_VERSION));
    app.add_option("--url", options.url, "the coordinator's address")->envname("BASMALIN_URL")->capture_default_str();
    app.add_option("--token-file", options.token_file, "file that holds the coordinator's token")->envname("BASMALIN_TOKEN_FILE");
    app.add_flag("--json", options.json, "JSON for programs: one object a line");
    app.fallthrough();
    app.require_subcommand(1);
    declare_lists(app, options);
    declare_readings(app, options.readings);
    try {
        app.parse(argc, argv);
    } catch (const CLI::RequiredError& error) {
        if (!app.get_subcommands().empty()) return app.exit(error) == 0 ? 0 : 2;
        std::string commands;
        for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) commands += ' ' + command->get_name();
        std::fprintf(stderr, "basmalin: name one of its commands:%s (--help says more)\n", commands.c_str());
        return 2;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return run(app.get_subcommands().front()->get_name(), options);
}
