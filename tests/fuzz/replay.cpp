// Runs a fuzzer's property over the files and folders given: a finding again, or a corpus as a test; no libFuzzer needed.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/property.h"

namespace {

size_t replay(const std::filesystem::path& path) {
    if (std::filesystem::is_directory(path)) {
        size_t files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(path)) files += replay(entry.path());
        return files;
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) return 0;
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    return 1;
}

}  // namespace

int main(int count, char** arguments) {
    size_t files = 0;
    for (int i = 1; i < count; ++i) files += replay(arguments[i]);
    std::printf("%zu files replayed\n", files);
    return files > 0 ? 0 : 1;
}
