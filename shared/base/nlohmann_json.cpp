#include <nlohmann/json.hpp>

#include "shared/base/json.h"

namespace basmalin {
namespace {

// Builds Json values from nlohmann's SAX events. The parser itself does not recurse, so depth is bounded here.
class Builder {
  public:
    explicit Builder(const JsonLimits& limits) : limits_(limits) {}

    bool null() { return add(Json()); }
    bool boolean(bool v) { return add(Json(v)); }
    bool number_integer(int64_t v) { return add(Json(v)); }
    bool number_unsigned(uint64_t v) { return add(Json(v)); }
    bool number_float(double v, const std::string&) { return add(Json(v)); }
    bool string(std::string& v) { return add(Json(std::move(v))); }
    bool binary(nlohmann::json::binary_t&) { return false; }
    bool start_object(size_t) { return open(Json::object()); }
    bool start_array(size_t) { return open(Json::array()); }
    bool key(std::string& v) {
        keys_.back() = std::move(v);
        return true;
    }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
        offset_ = position;
        return false;
    }

    Json take() { return std::move(root_); }
    size_t offset() const { return offset_; }
    const char* limit() const { return limit_; }

  private:
    bool add(Json value) {
        if (++values_ > limits_.values_max) {
            limit_ = "too many values";
            return false;
        }
        if (stack_.empty())
            root_ = std::move(value);
        else if (stack_.back().is_array())
            stack_.back().push(std::move(value));
        else
            members_.back().emplace_back(std::move(keys_.back()), std::move(value));
        return true;
    }
    bool open(Json container) {
        if (stack_.size() >= limits_.depth_max) {
            limit_ = "nested too deeply";
            return false;
        }
        stack_.push_back(std::move(container));
        members_.emplace_back();
        keys_.emplace_back();
        return true;
    }
    bool close() {
        Json done = stack_.back().is_object() ? Json(std::move(members_.back())) : std::move(stack_.back());
        stack_.pop_back();
        members_.pop_back();
        keys_.pop_back();
        return add(std::move(done));
    }

    const JsonLimits& limits_;
    Json root_;
    std::vector<Json> stack_;
    std::vector<Json::Object> members_;  // appended without Json::set's search: a hostile object of n keys costs n, not n^2
    std::vector<std::string> keys_;
    size_t values_ = 0;
    size_t offset_ = 0;
    const char* limit_ = nullptr;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
    if (text.size() > limits.bytes_max)
        return fail(Code::Invalid, "JSON: " + std::to_string(text.size()) + " bytes, at most " + std::to_string(limits.bytes_max));
    Builder builder(limits);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
        if (builder.limit() != nullptr) return fail(Code::Invalid, std::string("JSON: ") + builder.limit());
        return fail(Code::Invalid, "JSON: not valid at byte " + std::to_string(builder.offset()));
    }
    return builder.take();
}

}  // namespace basmalin
