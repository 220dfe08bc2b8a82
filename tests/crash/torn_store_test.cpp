// A coordinator whose files were damaged while it was off. Whatever the place: it opens in time, or says what to do and opens once
// that is done; it never shows a reading that was not sent, nor one twice; what is missing is only what lay in the torn place.
// What was lost with its mark (the log of fleet.db, a fleet.db that cannot be used) comes again from the gateways. What stayed marked
// does not: a torn hot batch, and history, whose damaged file is set aside and said.
#include "tests/coordinator/store/store_fixture.h"
#include "tests/crash/torn.h"

namespace basmalin::coordinator {
namespace {

constexpr int64_t hour_ms = 3'600'000;
constexpr size_t batches = 180;
constexpr size_t first_hot = 60;  // those before are in history
// What 512 torn bytes hide at most: a batch takes more than 64.
constexpr size_t hidden_batches_max = 9;

// When and what, without its series: a torn name is another name, and hides nothing.
using Moments = std::multiset<std::pair<int64_t, double>>;

class TornStore : public StoreTest {
  protected:
    void SetUp() override {
        // Nothing here depends on what a power cut leaves: in memory it takes seconds, not a minute.
        if (std::filesystem::is_directory("/dev/shm")) ::setenv("TEST_TMPDIR", "/dev/shm/", 1);
        StoreTest::SetUp();
    }
    // A third of it in history, a third in fleet.db, a third in its log; and the same after a clean stop.
    void make() {
        for (size_t i = 0; i < batches; ++i) {
            const auto t = static_cast<double>(i);
            sent.push_back(g1.beds({t + 0.1, t + 0.2, t + 0.3}));
            commit({sent.back()});
            if (i + 1 == first_hot) maintain(noon_ms + 3 * hour_ms);
            if (i + 1 == 2 * first_hot) {
                EXPECT_TRUE(store->fleet_database().execute("PRAGMA wal_checkpoint(TRUNCATE)"));
            }
        }
        all = moments();
        EXPECT_EQ(all.size(), batches * 6);
        files = options.folder;
        good = files + "-good";
        torn::copy(files, good + "-open");
        store.reset();
        torn::copy(files, good + "-closed");
    }
    void TearDown() override {
        StoreTest::TearDown();
        for (const char* tail : {"-open", "-closed"}) std::filesystem::remove_all(good + tail);
    }
    static std::vector<std::string> databases(const std::string& folder) {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::string name = entry.path().filename().string();
            if (name.ends_with(".db") || name.ends_with(".db-wal")) found.push_back(name);
        }
        std::sort(found.begin(), found.end());
        return found;
    }
    // The remedy that the error names: fleet.db aside.
    void do_the_remedy(const Error& error) {
        EXPECT_EQ(error.code, Code::Corrupt) << error.message();
        EXPECT_NE(error.hint.find("move fleet.db, fleet.db-wal and fleet.db-shm aside"), std::string::npos) << error.message();
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(files + "/fleet.db" + tail);
    }
    // What a gateway does after a welcome: it sends again what it holds and the coordinator says it lacks. Returns what was said.
    std::vector<std::string> refill() {
        const auto marks = store->marks("g1", {g1.stream});
        SeqSet has;
        if (!marks.empty()) has.restore(marks[0].mark, marks[0].ranges);
        std::vector<std::string> events = commit({sent[0]}).events;
        for (size_t i = 0; i < sent.size(); ++i)
            if (!has.contains(i + 1)) commit({sent[i]});
        commit({g1.seal({}, sent.size() + 1)});  // a lost layout is asked for with the next batch that needs it, and defined again
        return events;
    }
    static bool said(const std::vector<std::string>& events, const std::string& what) {
        return std::any_of(events.begin(), events.end(), [&](const std::string& e) { return e.find(what) != std::string::npos; });
    }
    bool set_aside() const {
        for (const auto& entry : std::filesystem::directory_iterator(files))
            if (entry.path().filename().string().find(".damaged-") != std::string::npos) return true;
        return false;
    }
    Moments moments() {
        Moments found;
        for (const std::string& text : readings()) {
            const size_t at = text.rfind('@');
            const size_t is = text.find('=', at);
            found.emplace(std::stoll(text.substr(at + 1, is - at - 1)), std::stod(text.substr(is + 1)));
        }
        return found;
    }
    // Nothing that was not sent, nothing twice; missing is only what the torn file held: batches [first, end).
    void expect_only(const Moments& found, size_t first, size_t end) {
        Moments missing = all;
        for (const auto& one : found) {
            const auto at = missing.find(one);
            ASSERT_NE(at, missing.end()) << one.second << " was not sent, or is there twice";
            missing.erase(at);
        }
        // A batch has three rows, a second apart, from this time on.
        const int64_t start = all.begin()->first;
        std::set<size_t> hidden;
        for (const auto& [time, value] : missing) hidden.insert(static_cast<size_t>((time - start) / 3000));
        for (const size_t batch : hidden) EXPECT_TRUE(batch >= first && batch < end) << "batch " << batch << " is missing";
        if (first == first_hot) {
            EXPECT_LE(hidden.size(), hidden_batches_max);
        }
    }
    // SQLite's quick check does not compare indexes with their tables; what a wrong one hides is found by the backup's whole check.
    bool whole_indexes() {
        for (const std::string& file : databases(files)) {
            if (!file.ends_with(".db")) continue;
            auto db = Database::open(files + "/" + file);
            if (!db || !db->check(true)) return false;
        }
        return true;
    }

    std::vector<IncomingBatch> sent;
    Moments all;
    std::string files;
    std::string good;
};

TEST_F(TornStore, DamageHidesOnlyItselfAndTheGatewaysFillTheRestUp) {
    make();
    for (const uint64_t seed : torn::seeds()) {
        std::mt19937_64 random(seed);
        store.reset();
        torn::copy(good + (seed % 2 == 0 ? "-open" : "-closed"), files);
        const std::vector<std::string> names = databases(files);
        const std::string& name = names[seed / 2 % names.size()];
        const torn::Tear tear = torn::tear(files + "/" + name, random);
        SCOPED_TRACE("BASMALIN_TORN_SEED=" + std::to_string(seed) + ": " + tear.text);

        const MonoTime before = SystemClock().mono();
        auto opened = SqliteStore::open(options);
        EXPECT_LT((SystemClock().mono() - before).ms, torn::start_within.ms);
        const bool refused = !opened;
        if (refused) {
            do_the_remedy(opened.error());
            opened = SqliteStore::open(options);
        }
        ASSERT_TRUE(opened) << opened.error().message();
        store = std::move(*opened);
        const std::vector<std::string> events = refill();
        const bool aside = set_aside();
        EXPECT_EQ(aside, said(events, "set aside")) << "what is set aside is said";

        const Moments after = moments();
        const bool history = name.starts_with("history");
        expect_only(after, history ? 0 : first_hot, history ? first_hot : batches);
        // In the log of fleet.db, marks and batches are lost together: the gateways send all of it again.
        if (name == "fleet.db-wal" || refused) {
            EXPECT_EQ(after, all);
        }
        if (!whole_indexes()) continue;
        maintain(noon_ms + 48 * hour_ms);
        // A torn row of hot may come to light now, from its batch, or may be found impossible and become a dead letter.
        const Moments compacted = moments();
        expect_only(compacted, history ? 0 : first_hot, history ? first_hot : batches);
        if (history || name == "fleet.db-wal" || refused) {
            EXPECT_EQ(compacted, after) << "compacted";
        }
        store.reset();
        for (const std::string& file : databases(files)) {
            auto db = Database::open(files + "/" + file);
            ASSERT_TRUE(db);
            auto sound = db->check(true);
            EXPECT_TRUE(sound) << file << ": " << (sound ? "" : sound.error().message());
        }
    }
}

}  // namespace
}  // namespace basmalin::coordinator
