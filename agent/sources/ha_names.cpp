#include "agent/sources/ha_names.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "agent/sources/names.h"

namespace basmalin::agent {
namespace {

// What is measured before what is switched, that before what is set.
constexpr std::string_view ranks[] = {"sensor", "binary_sensor", "switch",     "valve", "cover",  "lock",   "light",
                                      "fan",    "climate",       "humidifier", "siren", "number", "select", "text"};

auto order_of(const Described& one) {
    const auto* rank = std::find(std::begin(ranks), std::end(ranks), one.entity->component);
    return std::tuple<const std::string_view*, std::string_view, std::string_view>(rank, one.topic, one.entity->key);
}

}  // namespace

void name_entities(std::vector<Described> described) {
    std::sort(described.begin(), described.end(), [](const Described& a, const Described& b) { return order_of(a) < order_of(b); });
    std::set<std::string> taken;
    std::vector<Entity*> others;
    for (const Described& one : described) {
        one.entity->name = one.entity->quantity;
        if (!taken.insert(one.entity->name).second) others.push_back(one.entity);
    }
    for (Entity* entity : others) {
        entity->name = join_names(entity->quantity, slug(entity->component));
        for (size_t number = 2; !taken.insert(entity->name).second; ++number)
            entity->name = entity->quantity + '_' + std::to_string(number);
    }
}

}  // namespace basmalin::agent
