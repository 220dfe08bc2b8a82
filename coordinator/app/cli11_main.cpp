#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "coordinator/app/coordinator.h"
#include "shared/base/log.h"

namespace {

using namespace basmalin;
using namespace basmalin::coordinator;

constexpr int status_usage = 2;

struct Arguments {
    std::string config_file;
    std::vector<std::string> overrides;
};

Result<Settings> load(const Arguments& arguments) {
    Settings settings;
    Schema schema;
    declare(schema, settings);
    if (auto loaded = schema.load(arguments.config_file, arguments.overrides); !loaded) return pass(loaded);
    if (auto checked = check(settings); !checked) return pass(checked);
    return settings;
}

template <class Show>
void print_settings(Show&& show) {
    Settings settings;
    Schema schema;
    declare(schema, settings);
    std::cout << show(schema);
}

int complain(const Error& error, int status) {
    std::cerr << "basmalin-coordinator: " << error.message() << "\n";
    return status;
}

int run(const Arguments& arguments) {
    auto settings = load(arguments);
    if (!settings) return complain(settings.error(), status_usage);
    std::signal(SIGPIPE, SIG_IGN);
    log::start(log::level_from(settings->log_level, log::Level::Info));
    log::info("starting", {{"version", BASMALIN_VERSION}});
    make_room_for_connections(settings->http);
    const std::string address = settings->http.address;
    Coordinator coordinator(std::move(*settings), [arguments] { return load(arguments); });
    if (auto started = coordinator.start(); !started) {
        log::error("not_started", {{"error", started.error().message()}});
        return 1;
    }
    std::cout << "http://" << address << ":" << coordinator.http_port() << std::endl;
    return coordinator.run();
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    bool version = false;
    CLI::App app("Collects, stores and shows the readings of a fleet of gardens.", "basmalin-coordinator");
    app.fallthrough();
    app.add_option("--config", arguments.config_file, "The configuration file (TOML); see example-config.")->type_name("FILE");
    app.add_option("--set", arguments.overrides, "Overrides a setting of the file; may be repeated.")
        ->type_name("SECTION.KEY=VALUE")
        ->allow_extra_args(false);
    app.add_flag("--version", version, "Print the version.");
    app.require_subcommand(0, 1);
    app.add_subcommand("run", "Run until SIGTERM; what happens without a command.");
    const CLI::App* check_config = app.add_subcommand("check-config", "Say what is wrong with the configuration, if anything.");
    const CLI::App* example = app.add_subcommand("example-config", "Print every setting with its default, as a configuration file.");
    const CLI::App* print_version = app.add_subcommand("version", "Print the version.");
    {
        Settings settings;
        Schema schema;
        declare(schema, settings);
        app.footer("Settings:\n" + schema.help());
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : status_usage;
    }
    if (version || *print_version) {
        std::cout << "basmalin-coordinator " << BASMALIN_VERSION << "\n";
        return 0;
    }
    if (*example) {
        print_settings([](const Schema& schema) { return schema.example(); });
        return 0;
    }
    if (*check_config) {
        const auto settings = load(arguments);
        if (!settings) return complain(settings.error(), status_usage);
        std::cout << "The configuration is right.\n";
        return 0;
    }
    return run(arguments);
}
