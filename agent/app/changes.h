// Which settings differ between two dumps of the same schema, and which of those only a restart applies. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace basmalin::agent {

struct Changes {
    std::vector<std::string> keys;  // "section.key"
    bool in(std::string_view section) const;
    std::vector<std::string> needing_restart() const;
};

Changes changes_between(std::string_view before, std::string_view after);

}  // namespace basmalin::agent
