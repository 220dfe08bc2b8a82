#include "agent/sources/units.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/sources/names.h"
#include "shared/base/utf8.h"
#include "shared/series/codec.h"

namespace basmalin::agent {
namespace {

constexpr size_t unit_bytes_max = 64;  // is_unit's

using Pair = std::pair<std::string_view, std::string_view>;

// Spelling -> ours. Case matters in units (mW and MW), so it is exact.
constexpr Pair spellings[] = {
    {"°C", "Cel"}, {"℃", "Cel"}, {"C", "Cel"}, {"degC", "Cel"}, {"ºC", "Cel"}, {"Celsius", "Cel"}, {"celsius", "Cel"}, {"Cel", "Cel"},
    {"°F", "[degF]"}, {"℉", "[degF]"}, {"F", "[degF]"}, {"degF", "[degF]"}, {"ºF", "[degF]"}, {"Fahrenheit", "[degF]"}, {"K", "K"},
    {"%", "%"}, {"%RH", "%"}, {"% RH", "%"}, {"%rH", "%"}, {"percent", "%"}, {"Pct", "%"}, {"/100", "%"}, {"%EL", "%"},
    {"hPa", "hPa"}, {"mbar", "mbar"}, {"mb", "mbar"}, {"bar", "bar"}, {"kPa", "kPa"}, {"Pa", "Pa"}, {"cbar", "cbar"},
    {"psi", "[psi]"}, {"mmHg", "mm[Hg]"}, {"inHg", "[in_i'Hg]"},
    {"V", "V"}, {"mV", "mV"}, {"µV", "uV"}, {"μV", "uV"}, {"uV", "uV"}, {"A", "A"}, {"mA", "mA"}, {"Ah", "A.h"}, {"mAh", "mA.h"},
    {"W", "W"}, {"mW", "mW"}, {"kW", "kW"}, {"VA", "V.A"}, {"kVA", "kV.A"}, {"var", "var"}, {"VAr", "var"}, {"kvar", "kvar"},
    {"Wh", "W.h"}, {"kWh", "kW.h"}, {"MWh", "MW.h"}, {"VAh", "V.A.h"}, {"kVAh", "kV.A.h"}, {"varh", "var.h"}, {"kvarh", "kvar.h"},
    {"J", "J"}, {"kJ", "kJ"}, {"Hz", "Hz"}, {"kHz", "kHz"}, {"MHz", "MHz"}, {"Ω", "Ohm"}, {"Ohm", "Ohm"}, {"ohm", "Ohm"}, {"kΩ", "kOhm"},
    {"kOhm", "kOhm"}, {"lx", "lx"}, {"lux", "lx"}, {"Lux", "lx"}, {"lm", "lm"}, {"W/m²", "W/m2"}, {"W/m2", "W/m2"}, {"W/m^2", "W/m2"},
    {"µmol/m²/s", "umol/m2/s"}, {"μmol/m²/s", "umol/m2/s"}, {"umol/m2/s", "umol/m2/s"}, {"µmol/s/m²", "umol/m2/s"},
    {"µS/cm", "uS/cm"}, {"μS/cm", "uS/cm"}, {"uS/cm", "uS/cm"}, {"mS/cm", "mS/cm"}, {"dS/m", "dS/m"}, {"S/m", "S/m"},
    {"pH", "[pH]"}, {"[pH]", "[pH]"},
    {"L", "L"}, {"l", "L"}, {"mL", "mL"}, {"ml", "mL"}, {"gal", "[gal_us]"}, {"m³", "m3"}, {"m3", "m3"}, {"m^3", "m3"}, {"ft³", "[cft_i]"},
    {"L/min", "L/min"}, {"l/min", "L/min"}, {"lpm", "L/min"}, {"L/h", "L/h"}, {"l/h", "L/h"}, {"L/s", "L/s"}, {"l/s", "L/s"},
    {"m³/h", "m3/h"}, {"m3/h", "m3/h"}, {"gal/min", "[gal_us]/min"},
    {"mm", "mm"}, {"cm", "cm"}, {"m", "m"}, {"km", "km"}, {"in", "[in_i]"}, {"\"", "[in_i]"}, {"ft", "[ft_i]"}, {"mi", "[mi_i]"},
    {"mm/h", "mm/h"}, {"mm/hr", "mm/h"}, {"mm/d", "mm/d"}, {"in/h", "[in_i]/h"}, {"in/hr", "[in_i]/h"}, {"L/m²", "L/m2"}, {"l/m²", "L/m2"},
    {"m/s", "m/s"}, {"km/h", "km/h"}, {"kmh", "km/h"}, {"kph", "km/h"}, {"mph", "[mi_i]/h"}, {"mi/h", "[mi_i]/h"}, {"kn", "[kn_i]"},
    {"kt", "[kn_i]"}, {"°", "deg"}, {"deg", "deg"}, {"º", "deg"},
    {"ppm", "[ppm]"}, {"[ppm]", "[ppm]"}, {"ppb", "[ppb]"}, {"[ppb]", "[ppb]"},
    {"µg/m³", "ug/m3"}, {"μg/m³", "ug/m3"}, {"ug/m³", "ug/m3"}, {"ug/m3", "ug/m3"}, {"µg/m3", "ug/m3"}, {"mg/m³", "mg/m3"}, {"g/m³", "g/m3"},
    {"mg/L", "mg/L"}, {"mg/l", "mg/L"}, {"mg/kg", "mg/kg"},
    {"g", "g"}, {"kg", "kg"}, {"mg", "mg"}, {"lb", "[lb_av]"}, {"oz", "[oz_av]"},
    {"dB", "dB"}, {"dBm", "dBm"}, {"dBA", "dB[A]"}, {"dB(A)", "dB[A]"},
    {"s", "s"}, {"sec", "s"}, {"ms", "ms"}, {"min", "min"}, {"h", "h"}, {"hr", "h"}, {"d", "d"}, {"day", "d"}, {"days", "d"},
    {"B", "By"}, {"KB", "kBy"}, {"kB", "kBy"}, {"MB", "MBy"}, {"KiB", "KiBy"}, {"MiB", "MiBy"},
    {"rpm", "{rpm}"}, {"UV index", "{UVI}"}, {"UV Index", "{UVI}"}, {"lqi", "{lqi}"}, {"#", "1"}, {"1", "1"}, {"/", "1"}, {"count", "1"}, {"x", "1"},
};

struct Linear {  // value in `base` = value * scale + offset
    std::string_view unit;
    std::string_view base;
    double scale;
    double offset;
};
constexpr Linear linear[] = {
    {"Cel", "K", 1, 273.15}, {"K", "K", 1, 0},
    {"Pa", "Pa", 1, 0}, {"hPa", "Pa", 100, 0}, {"mbar", "Pa", 100, 0}, {"kPa", "Pa", 1000, 0}, {"cbar", "Pa", 1000, 0}, {"bar", "Pa", 100000, 0},
    {"mm[Hg]", "Pa", 133.322387415, 0}, {"[in_i'Hg]", "Pa", 3386.38864034, 0}, {"[psi]", "Pa", 6894.757293168, 0},
    {"uV", "V", 1e-6, 0}, {"mV", "V", 1e-3, 0}, {"V", "V", 1, 0}, {"mA", "A", 1e-3, 0}, {"A", "A", 1, 0},
    {"mW", "W", 1e-3, 0}, {"W", "W", 1, 0}, {"kW", "W", 1000, 0}, {"W.h", "W.h", 1, 0}, {"kW.h", "W.h", 1000, 0}, {"MW.h", "W.h", 1e6, 0},
    {"uS/cm", "uS/cm", 1, 0}, {"mS/cm", "uS/cm", 1000, 0}, {"dS/m", "uS/cm", 1000, 0}, {"S/m", "uS/cm", 10000, 0},
    {"mL", "L", 1e-3, 0}, {"L", "L", 1, 0}, {"m3", "L", 1000, 0}, {"L/min", "L/min", 1, 0}, {"L/s", "L/min", 60, 0},
    {"mm", "m", 1e-3, 0}, {"cm", "m", 1e-2, 0}, {"m", "m", 1, 0}, {"km", "m", 1000, 0}, {"[in_i]", "m", 0.0254, 0}, {"[ft_i]", "m", 0.3048, 0},
    {"ms", "s", 1e-3, 0}, {"s", "s", 1, 0}, {"min", "s", 60, 0}, {"h", "s", 3600, 0}, {"d", "s", 86400, 0},
    {"g", "g", 1, 0}, {"kg", "g", 1000, 0}, {"mg", "g", 1e-3, 0}, {"[ppb]", "[ppb]", 1, 0}, {"[ppm]", "[ppb]", 1000, 0},
};

constexpr Pair usual[] = {
    {"temperature", "Cel"}, {"device_temperature", "Cel"}, {"soil_temperature", "Cel"}, {"local_temperature", "Cel"}, {"dew_point", "Cel"},
    {"humidity", "%"}, {"soil_moisture", "%"}, {"moisture", "%"}, {"battery", "%"}, {"battery_percentage", "%"},
    {"pressure", "hPa"}, {"sea_pressure", "hPa"}, {"illuminance", "lx"}, {"illuminance_lux", "lx"},
    {"energy", "kW.h"}, {"co2", "[ppm]"}, {"eco2", "[ppm]"}, {"pm25", "ug/m3"}, {"linkquality", "{lqi}"}, {"link_quality", "{lqi}"},
    {"rssi", "dBm"}, {"battery_voltage", "V"}, {"position", "%"},
};

// As it is, but for what is_unit refuses: each such byte becomes '_', what is too long is cut at a character.
std::string to_unit(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const size_t n = utf8_length(text);
        const std::string_view one = text.substr(0, std::max<size_t>(n, 1));
        const std::string_view kept = n > 0 && is_unit(one) ? one : std::string_view("_");
        if (out.size() + kept.size() > unit_bytes_max) break;
        out += kept;
        text.remove_prefix(one.size());
    }
    return out;
}

}  // namespace

std::string normal_unit(std::string_view text) {
    text = trimmed(text);
    for (const auto& [spelling, ours] : spellings)
        if (spelling == text || ours == text) return std::string(ours);
    return to_unit(text);
}

std::optional<double> convert(double value, std::string_view from, std::string_view to) {
    if (from == to) return value;
    if (from == "[degF]") return convert((value - 32) * 5 / 9, "Cel", to);
    if (to == "[degF]") {
        const auto celsius = convert(value, from, "Cel");
        return celsius ? std::optional(*celsius * 9 / 5 + 32) : std::nullopt;
    }
    const auto find = [](std::string_view unit) {
        return std::find_if(std::begin(linear), std::end(linear), [&](const Linear& one) { return one.unit == unit; });
    };
    const auto* a = find(from);
    const auto* b = find(to);
    if (a == std::end(linear) || b == std::end(linear) || a->base != b->base) return std::nullopt;
    if (a->scale == b->scale && a->offset == b->offset) return value;
    return (value * a->scale + a->offset - b->offset) / b->scale;
}

std::string_view usual_unit(std::string_view quantity) {
    for (const auto& [name, unit] : usual)
        if (name == quantity) return unit;
    return {};
}

}  // namespace basmalin::agent
