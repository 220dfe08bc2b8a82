// basmalin-agent: buffers and delivers a garden's readings. Exit codes: 0 done, 1 failed, 2 the words or the settings are off.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/app/agent.h"
#include "agent/app/agent_config.h"
#include "agent/app/buffer_command.h"

namespace {

using namespace basmalin;
using namespace basmalin::agent;

struct Options {
    std::string config_file;
    std::vector<std::string> overrides;
    std::string buffer_file;
    std::string format = "csv";
};

int complain(const Error& error) {
    std::fprintf(stderr, "basmalin-agent: %s\n", error.message().c_str());
    return error.code == Code::Invalid || error.code == Code::NotFound ? 2 : 1;
}

int check_config(const Options& options) {
    AgentConfig config;
    Schema schema;
    declare(schema, config);
    if (auto loaded = schema.load(options.config_file, options.overrides); !loaded) return complain(loaded.error());
    std::printf("%s", schema.dump().c_str());
    return 0;
}

int print_example() {
    AgentConfig config;
    Schema schema;
    declare(schema, config);
    std::printf("%s", schema.example().c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Buffers a garden's readings and delivers each of them once.\nExit codes: 0 done, 1 failed, 2 the words or the settings are off.", "basmalin-agent");
    app.set_version_flag("--version", std::string("basmalin-agent " BASMALIN_VERSION));
    app.add_option("--config,-c", options.config_file, "settings (TOML); `example-config` prints all of them");
    app.add_option("--set", options.overrides, "one setting: section.key=value; wins over the file")->take_all();
    app.fallthrough();
    app.require_subcommand(0, 1);
    app.add_subcommand("run", "run in the foreground (the default)");
    app.add_subcommand("check-config", "say what is wrong with the settings, or print them");
    app.add_subcommand("example-config", "print every setting with its default and help");
    auto* buffer = app.add_subcommand("buffer", "look at a buffer's file while the agent is stopped");
    buffer->require_subcommand(1);
    for (const auto& [name, help] : {std::pair{"check", "is it sound?"}, {"repair", "keep what is readable, report the rest as lost"}, {"export", "every reading in it, to standard output"}}) {
        auto* command = buffer->add_subcommand(name, help);
        command->add_option("file", options.buffer_file, "the buffer's file, usually STATE_FOLDER/buffer.db")->required();
        if (std::string_view(name) == "export") command->add_option("--format", options.format, "csv or ndjson")->capture_default_str();
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    const std::string command = app.get_subcommands().empty() ? "run" : app.get_subcommands().front()->get_name();
    if (command == "check-config") return check_config(options);
    if (command == "example-config") return print_example();
    if (command == "buffer") {
        const std::string what = buffer->get_subcommands().front()->get_name();
        if (what == "check") return check_buffer(options.buffer_file);
        if (what == "repair") return repair_buffer(options.buffer_file);
        return export_buffer(options.buffer_file, options.format);
    }
    return run_agent(options.config_file, options.overrides);
}
