// Declared configuration: each setting once, with type, bounds, default and help; from that come strict loading, `--help` and
// the documented example. Files are TOML. Unknown keys, wrong types and values out of bounds are errors, all in one message.
//
//   void declare(Schema& s, AgentConfig& c) {
//       s.section("buffer", "What waits for the coordinator.");
//       s.bytes("bytes_max", c.buffer.bytes_max, 1 << 20, 1LL << 40, "Size of the buffer file; the oldest readings go first.");
//   }
//
// R1  The default is what the field holds when it is declared. After a load every field holds the default, the file's value
//     or the override's, the later winning; a second load starts from the defaults again.
// R2  Nothing is assigned unless everything is right.
// R3  Every problem is reported, one line each: `agent.toml:12: buffer.bytes_max: "lots" is no size; give bytes as "64 MiB"
//     or a number, from 1 MiB to 1 TiB`. An unknown key names the nearest known one.
// R4  A default that its own check refuses makes the setting mandatory.
// R5  Any bytes give a result or an error: size (1 MiB), nesting and key depth are bounded before they are parsed.
// R6  A secret's value never appears in an error, in help(), example() or dump().
// Threads: any, one Schema at a time; no globals. The fields must outlive the Schema.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/result.h"

namespace basmalin {

// A secret: given as a file's path, read at load time (4 KiB at most, trailing line ends dropped, refused when all users can
// read it), printed as ***. "credential:NAME" means systemd's $CREDENTIALS_DIRECTORY/NAME. An empty path: no secret.
struct Secret {
    std::string file;
    std::string value;
};

class Schema {
  public:
    // Settings declared after this live in [name] ("mqtt.tls" is [mqtt.tls]); "" is the top of the file.
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
    // 1 to 65535; 0 too (the system chooses) when that is the default.
    void port(std::string key, uint16_t& field, std::string help);
    void secret(std::string key, Secret& field, std::string help);
    void texts(std::string key, std::vector<std::string>& field, std::string help);
    // An array of tables: [[name]], whatever section came before. `declare_one` declares the fields of one row; `field` is
    // replaced by what the file holds, and keeps its rows when the file has no [[name]].
    template <class Row>
    void table(std::string name, std::vector<Row>& field, std::string help, std::function<void(Schema&, Row&)> declare_one) {
        add_table(std::move(name), std::move(help), std::make_shared<RowsOf<Row>>(field, std::move(declare_one)));
    }

    // Reads `path` (none if empty), then each "section.key=value" of `overrides`: the value is taken as TOML if that is of the
    // right type, else as a text. Invalid with one line per problem; NotFound or Denied when the file cannot be read.
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
    // The rows of a table, their type erased.
    struct Rows {
        virtual ~Rows() = default;
        virtual void begin() = 0;       // forgets rows that were read and not kept
        virtual Schema& add() = 0;      // one more row at its defaults
        virtual void keep() = 0;        // moves the rows read into the field
        virtual void keep_first() = 0;  // puts back what the field held when it was declared
        virtual void each(const std::function<void(const Schema&)>& visit) const = 0;  // the rows in force
        virtual void sample(const std::function<void(const Schema&)>& visit) const = 0;
    };
    template <class Row>
    struct RowsOf final : Rows {
        RowsOf(std::vector<Row>& rows, std::function<void(Schema&, Row&)> declare) : field(rows), first(rows), declare_one(std::move(declare)) {}
        void begin() override {
            schemas.clear();
            read.clear();
        }
        Schema& add() override {
            declare_one(schemas.emplace_back(), read.emplace_back());
            return schemas.back();
        }
        void keep() override {
            field.assign(std::make_move_iterator(read.begin()), std::make_move_iterator(read.end()));
            begin();
        }
        void keep_first() override { field = first; }
        void each(const std::function<void(const Schema&)>& visit) const override {
            for (Row row : field) show(row, visit);
        }
        void sample(const std::function<void(const Schema&)>& visit) const override {
            Row row{};
            show(row, visit);
        }
        void show(Row& row, const std::function<void(const Schema&)>& visit) const {
            Schema schema;
            declare_one(schema, row);
            visit(schema);
        }
        std::vector<Row>& field;
        const std::vector<Row> first;
        std::function<void(Schema&, Row&)> declare_one;
        std::deque<Row> read;  // a deque: rows stay where their schemas point to
        std::deque<Schema> schemas;
    };
    void add_table(std::string name, std::string help, std::shared_ptr<Rows> rows);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace basmalin
