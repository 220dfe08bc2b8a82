// `basmalin readings`: raw readings or steps of one node, device or quantity; with `follow`, on and on.
// R1  Following asks again from the newest time already shown and leaves out what was shown of that very moment.
// R2  Late readings (a gateway's backlog) that lie before the newest shown are not shown while following: the table is live.
// R3  While nothing was shown yet, what was asked for stays as long ago as it was at the start: "the last second" does not slide on, away
//     from what comes. Who follows is told once why nothing comes: no such device yet, or no coordinator.
#include <charconv>
#include <set>
#include <string_view>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/table.h"

namespace basmalin::coordinator {
namespace {

// "10m" is an age, and goes out as "-10m"; the rest is a time as the API takes it.
bool is_age(const std::string& text) {
    return !text.empty() && text[0] >= '0' && text[0] <= '9' && std::string_view("smhdw").find(text.back()) != std::string_view::npos &&
           text.find_first_not_of("0123456789") == text.size() - 1;
}
std::string time_of(const std::string& text) { return is_age(text) ? "-" + text : text; }

// The API speaks of its parameters; who typed a command knows its options.
Error in_words_of_the_command(Error error) {
    for (const auto& [parameter, option] : {std::pair{"parameter from:", "--since:"}, {"parameter to:", "--until:"}, {"parameter step:", "--step:"}}) {
        if (!error.text.starts_with(parameter)) continue;
        error.text = option + error.text.substr(std::string_view(parameter).size());
        if (parameter != std::string_view("parameter step:")) error.hint = "write an age like 90s, 10m, 24h or 7d, or a time like 2026-11-22T17:35:00Z";
    }
    return error;
}

Result<Parameters> parameters_of(const ReadingsRequest& request) {
    std::vector<std::string> parts;
    size_t from = 0;
    for (size_t slash; (slash = request.what.find('/', from)) != std::string::npos; from = slash + 1) parts.push_back(request.what.substr(from, slash - from));
    parts.push_back(request.what.substr(from));
    bool good = parts.size() <= 3;
    for (const std::string& part : parts) good = good && !part.empty();
    if (!good) return fail(Code::Invalid, "'" + request.what + "' names no readings", "write NODE, NODE/DEVICE or NODE/DEVICE/QUANTITY");
    Parameters parameters = {{"node", parts[0]}};
    if (parts.size() > 1) parameters.emplace_back("device", parts[1]);
    if (parts.size() > 2) parameters.emplace_back("quantity", parts[2]);
    parameters.emplace_back("from", time_of(request.since));
    if (!request.until.empty()) parameters.emplace_back("to", time_of(request.until));
    if (!request.step.empty()) parameters.emplace_back("step", request.step);
    return parameters;
}

// Lines of a table that goes on: fixed widths, so that what follows stays below what came.
std::string line_of(const Json& reading) {
    const auto pad = [](const std::string& cell, size_t width) {
        std::string text = printable(cell);
        const size_t shown = width_of(text);
        if (shown < width) text.append(width - shown, ' ');
        return text + "  ";
    };
    return pad(reading["time"].as_string() + (reading["estimated"].as_bool() ? "~" : ""), 25) + pad(reading["device"].as_string(), 20) +
           pad(reading["quantity"].as_string(), 24) + printable(value_text(reading["value"], reading["unit"].as_string())) + "\n";
}

std::vector<Cell> row_of(const Json& reading, bool steps) {
    const std::string unit = reading["unit"].as_string();
    const std::string time = reading["time"].as_string() + (reading["estimated"].as_bool() ? " ~" : "");
    if (!steps) return {{time}, {reading["device"].as_string()}, {reading["quantity"].as_string()}, {value_text(reading["value"], unit)}};
    return {{time},
            {reading["device"].as_string()},
            {reading["quantity"].as_string()},
            {value_text(reading["min"], unit)},
            {value_text(reading["mean"], unit)},
            {value_text(reading["max"], unit)},
            {std::to_string(reading["count"].as_int())}};
}

// R3: "-10m" and 4 s more are "-604s".
std::string older(const std::string& age, int64_t seconds_more) {
    int64_t number = 0;
    const auto read = std::from_chars(age.data(), age.data() + age.size(), number);
    const int64_t unit = age.back() == 's' ? 1 : age.back() == 'm' ? 60 : age.back() == 'h' ? 3600 : age.back() == 'd' ? 86'400 : 7 * 86'400;
    if (read.ec != std::errc() || number > INT32_MAX) return "-" + age;
    return "-" + std::to_string(number * unit + seconds_more) + "s";
}

Result<void> follow(Client& client, const Terminal& terminal, const ReadingsRequest& request, Parameters parameters) {
    std::string newest;
    std::set<std::string> shown;  // readings of the moment `newest`, as JSON
    std::string trouble;
    const auto ask_from = [&](const std::string& from) {
        std::erase_if(parameters, [](const auto& parameter) { return parameter.first == "from"; });
        parameters.emplace_back("from", from);
    };
    const MonoTime begun = terminal.clock->mono();
    while (request.go_on()) {
        if (newest.empty() && is_age(request.since)) {
            const int64_t waited = (terminal.clock->mono() - begun).ms / 1000;
            if (waited > 0) ask_from(older(request.since, waited));
        }
        auto page = client.get("/api/readings", parameters);
        // A device that has not spoken yet may speak soon.
        if (!page && page.error().code != Code::NotFound && page.error().code != Code::Unavailable && page.error().code != Code::Timeout)
            return std::unexpected(in_words_of_the_command(std::move(page.error())));
        const std::string now = page ? "" : page.error().message();
        if (now != trouble && terminal.complain) terminal.complain(now.empty() ? "here again" : now + "; waiting");
        trouble = now;
        bool more = false;
        if (page) {
            more = (*page)["next"].is_string();
            for (const Json& reading : (*page)["items"].as_array()) {
                const std::string time = reading["time"].as_string();
                const std::string text = reading.dump();
                if (time < newest || (time == newest && shown.contains(text))) continue;
                if (time != newest) shown.clear();
                newest = time;
                shown.insert(text);
                terminal.write(terminal.json ? text + "\n" : line_of(reading));
            }
        }
        if (!newest.empty()) ask_from(newest);
        if (!more) request.pause(seconds(2));
    }
    return {};
}

}  // namespace

Result<void> show_readings(Client& client, const Terminal& terminal, const ReadingsRequest& request) {
    auto parameters = parameters_of(request);
    if (!parameters) return pass(parameters);
    if (request.follow && (request.csv || !request.step.empty() || !request.until.empty()))
        return fail(Code::Invalid, "--follow shows every new reading", "leave out --csv, --step and --until");
    if (request.follow) return follow(client, terminal, request, std::move(*parameters));
    if (request.csv) {
        parameters->emplace_back("format", "csv");
        return client.get_text("/api/readings", *parameters, [&](std::string_view piece) { terminal.write(std::string(piece)); });
    }
    const bool steps = !request.step.empty();
    bool estimated = false;
    Table table(steps ? std::vector<std::string>{"time (UTC)", "device", "quantity", "min", "mean", "max", "readings"}
                      : std::vector<std::string>{"time (UTC)", "device", "quantity", "value"});
    auto done = client.each_item("/api/readings", *parameters, [&](const Json& reading) {
        estimated = estimated || reading["estimated"].as_bool();
        if (terminal.json)
            terminal.write(reading.dump() + "\n");
        else
            table.row(row_of(reading, steps));
        return true;
    });
    if (!done) return std::unexpected(in_words_of_the_command(std::move(done.error())));
    if (!terminal.json) terminal.write(table.empty() ? "No reading in that time; ask for more with --since 24h.\n" : table.text(terminal.colours));
    if (estimated && !terminal.json) terminal.write("~ estimated: the gateway's clock was not synchronised\n");
    return {};
}

}  // namespace basmalin::coordinator
