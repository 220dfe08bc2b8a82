// The abbreviated keys of Home Assistant's MQTT discovery that matter to components with readings, their device, origin and
// availability. Command keys are left out: nothing here sends commands.
#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/sources/ha_config.h"

namespace basmalin::agent {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr Pair entity_keys[] = {
    {"act_t", "action_topic"}, {"act_tpl", "action_template"}, {"avty", "availability"}, {"avty_mode", "availability_mode"},
    {"avty_t", "availability_topic"}, {"avty_tpl", "availability_template"}, {"bri_scl", "brightness_scale"},
    {"bri_stat_t", "brightness_state_topic"}, {"bri_val_tpl", "brightness_value_template"}, {"cmps", "components"},
    {"curr_hum_t", "current_humidity_topic"}, {"curr_hum_tpl", "current_humidity_template"}, {"curr_temp_t", "current_temperature_topic"},
    {"curr_temp_tpl", "current_temperature_template"}, {"def_ent_id", "default_entity_id"}, {"dev", "device"}, {"dev_cla", "device_class"},
    {"e", "encoding"}, {"en", "enabled_by_default"}, {"ent_cat", "entity_category"}, {"ent_pic", "entity_picture"},
    {"exp_aft", "expire_after"}, {"frc_upd", "force_update"}, {"hum_stat_t", "target_humidity_state_topic"},
    {"hum_state_tpl", "target_humidity_state_template"}, {"ic", "icon"}, {"init", "initial"}, {"json_attr", "json_attributes"},
    {"json_attr_t", "json_attributes_topic"}, {"json_attr_tpl", "json_attributes_template"}, {"lrst_t", "last_reset_topic"},
    {"lrst_val_tpl", "last_reset_value_template"}, {"mode_stat_t", "mode_state_topic"}, {"mode_stat_tpl", "mode_state_template"},
    {"o", "origin"}, {"obj_id", "object_id"}, {"off_dly", "off_delay"}, {"ops", "options"}, {"opt", "optimistic"}, {"p", "platform"},
    {"pct_stat_t", "percentage_state_topic"}, {"pct_val_tpl", "percentage_value_template"}, {"pl", "payload"},
    {"pl_avail", "payload_available"}, {"pl_cls", "payload_close"}, {"pl_not_avail", "payload_not_available"}, {"pl_off", "payload_off"},
    {"pl_on", "payload_on"}, {"pl_open", "payload_open"}, {"pl_stop", "payload_stop"}, {"pos", "reports_position"},
    {"pos_clsd", "position_closed"}, {"pos_open", "position_open"}, {"pos_t", "position_topic"}, {"pos_tpl", "position_template"},
    {"ptrn", "pattern"}, {"pow_stat_t", "power_state_topic"}, {"ret", "retain"}, {"spd_rng_max", "speed_range_max"},
    {"spd_rng_min", "speed_range_min"}, {"stat_cla", "state_class"}, {"stat_clsd", "state_closed"}, {"stat_closing", "state_closing"},
    {"stat_jam", "state_jammed"}, {"stat_locked", "state_locked"}, {"stat_locking", "state_locking"}, {"stat_off", "state_off"},
    {"stat_on", "state_on"}, {"stat_open", "state_open"}, {"stat_opening", "state_opening"}, {"stat_stopped", "state_stopped"},
    {"stat_t", "state_topic"}, {"stat_tpl", "state_template"}, {"stat_unlocked", "state_unlocked"}, {"stat_unlocking", "state_unlocking"},
    {"stat_val_tpl", "state_value_template"}, {"sug_dsp_prc", "suggested_display_precision"}, {"t", "topic"},
    {"temp_stat_t", "temperature_state_topic"}, {"temp_stat_tpl", "temperature_state_template"}, {"temp_unit", "temperature_unit"},
    {"uniq_id", "unique_id"}, {"unit_of_meas", "unit_of_measurement"}, {"url", "support_url"}, {"sw", "sw_version"}, {"val_tpl", "value_template"},
};

constexpr Pair device_keys[] = {
    {"cns", "connections"}, {"cu", "configuration_url"}, {"hw", "hw_version"}, {"ids", "identifiers"}, {"mdl", "model"}, {"mdl_id", "model_id"},
    {"mf", "manufacturer"}, {"sa", "suggested_area"}, {"sn", "serial_number"}, {"sw", "sw_version"},
};

template <size_t N>
std::string_view find(const Pair (&table)[N], std::string_view key) {
    const auto* at = std::find_if(std::begin(table), std::end(table), [&](const Pair& pair) { return pair.first == key; });
    return at == std::end(table) ? key : at->second;
}

}  // namespace

std::string_view full_key(std::string_view key) { return find(entity_keys, key); }
std::string_view full_device_key(std::string_view key) { return find(device_keys, key); }

}  // namespace basmalin::agent
