// Declared configuration: each setting once, with type, bounds, default and help; from that come strict loading, `--help` and
// the documented example. Files are TOML. Unknown keys, wrong types and values out of bounds are errors, all in one message.
//
//   void declare(Schema& s, AgentConfig& c) {
//       s.section("buffer", "What waits for the coordinator.");
//       s.bytes("bytes_max", c.buffer.bytes_max, 1 << 20, 1LL << 40, "Size of the buffer file; the oldest readings go first.");
//   }
// The default is what the field holds when it is declared. Threads: any; no globals.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"

namespace basmalin {

// A secret: given as a file's path, read at load time, printed as ***.
struct Secret {
    std::string file;
    std::string value;
};

class Schema {
  public:
    // Settings declared after this live in [name]; "" is the top of the file.
    void section(std::string name, std::string help);
    void text(std::string key, std::string& field, std::string help);
    // `check` returns what is wrong with the value, or an empty string.
    void text(std::string key, std::string& field, std::string help, std::function<std::string(const std::string&)> check);
    void choice(std::string key, std::string& field, std::vector<std::string> allowed, std::string help);
    void flag(std::string key, bool& field, std::string help);
    void integer(std::string key, int64_t& field, int64_t least, int64_t most, std::string help);
    void number(std::string key, double& field, double least, double most, std::string help);
    // "500 ms" "10 s" "5 min" "24 h" "7 d", or a bare number of seconds.
    void duration(std::string key, Duration& field, Duration least, Duration most, std::string help);
    // "64 MiB" "1 GiB" "500 KB", or a bare number of bytes.
    void bytes(std::string key, int64_t& field, int64_t least, int64_t most, std::string help);
    void port(std::string key, uint16_t& field, std::string help);
    void secret(std::string key, Secret& field, std::string help);
    void texts(std::string key, std::vector<std::string>& field, std::string help);
    // An array of tables: [[name]]. `declare_one` declares the fields of one row; `field` is replaced by what the file holds.
    template <class Row>
    void table(std::string name, std::vector<Row>& field, std::string help, std::function<void(Schema&, Row&)> declare_one) {
        add_table(std::move(name), std::move(help), [declare_one, &field](size_t rows, const std::function<void(size_t, Schema&)>& each) {
            std::vector<Row> read(rows);
            for (size_t i = 0; i < rows; ++i) {
                Schema row;
                declare_one(row, read[i]);
                each(i, row);
            }
            field = std::move(read);
        }, [declare_one](Schema& row) {
            static Row sample;
            sample = Row{};
            declare_one(row, sample);
        });
    }

    // Reads `path` (none if empty), then each "section.key=value" of `overrides`. All errors in one, one line each, with the
    // line of the file, the name of the setting and what would be right. Nothing is assigned unless everything is right.
    Result<void> load(const std::string& path, const std::vector<std::string>& overrides = {});
    Result<void> load_text(std::string_view toml, std::string_view name, const std::vector<std::string>& overrides = {});

    std::string help() const;     // for --help
    std::string example() const;  // a commented TOML file in which every setting has its default
    std::string dump() const;     // the values in force; secrets as ***

    struct Setting;
    Schema();
    ~Schema();
    Schema(Schema&&) noexcept;
    Schema& operator=(Schema&&) noexcept;

  private:
    using ReadRows = std::function<void(size_t, const std::function<void(size_t, Schema&)>&)>;
    void add_table(std::string name, std::string help, ReadRows read, std::function<void(Schema&)> sample);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin
