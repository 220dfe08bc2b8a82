#include <zlib.h>

#include <cstdlib>

#include "tests/shared/wire/library1.h"

namespace basmalin {

std::vector<MoteRow> read_library1(const std::string& path) {
    std::vector<MoteRow> rows;
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr) return rows;
    char line[256];
    gzgets(file, line, sizeof line);  // the names
    while (gzgets(file, line, sizeof line) != nullptr) {
        MoteRow row;
        char* at = line;
        row.time_ms = std::strtoll(at, &at, 10);
        row.node = static_cast<int>(std::strtol(at + 1, &at, 10));
        while (*at == ',') row.values.push_back(std::strtod(at + 1, &at));
        rows.push_back(std::move(row));
    }
    gzclose(file);
    return rows;
}

}  // namespace basmalin
