#pragma once
// A thin owner of SQLite's C handles: connections, statements, transactions; their errors as Result.
//
// A Database and its statements belong to one thread at a time (opened without SQLite's own mutex).

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace nexus::sqlite {

// What a SQLite result code means for the caller. `system_errno` tells a full disk from other I/O errors.
Fault fault_of(int code, int system_errno);

// Binds as text instead of as a blob: for columns that people filter by in SQL.
struct Text {
    std::string_view value;
};

class Statement {
public:
    Statement() = default;

    // Binds the arguments in order. Blobs and texts are not copied: they must live until the statement is reset.
    template <class... Args>
    void bind(const Args&... args) {
        int at = 0;
        (bind_at(++at, args), ...);
    }
    template <class... Args>
    void bind_from(int first, const Args&... args) {
        (bind_at(first++, args), ...);
    }
    template <class T>
    void bind_one(int at, const T& v) {
        bind_at(at, v);
    }
    // One step: true = there is a row.
    Result<bool> step();
    // Binds, runs to the end, resets.
    template <class... Args>
    Result<void> run(const Args&... args) {
        bind(args...);
        return finish();
    }
    Result<void> run_bound() { return finish(); }  // with what is bound
    void reset() { sqlite3_reset(handle_.get()); }

    std::int64_t integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }
    double real(int column) const { return sqlite3_column_double(handle_.get(), column); }
    bool is_null(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }
    // Blob or text; valid until the next step or reset.
    std::string_view bytes(int column) const;

private:
    friend class Database;
    struct Finalize {
        void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
    };
    Result<void> finish();
    void bind_at(int at, std::int64_t v) { sqlite3_bind_int64(handle_.get(), at, v); }
    void bind_at(int at, std::uint64_t v) { bind_at(at, static_cast<std::int64_t>(v)); }
    void bind_at(int at, std::uint32_t v) { bind_at(at, static_cast<std::int64_t>(v)); }
    void bind_at(int at, std::uint8_t v) { bind_at(at, static_cast<std::int64_t>(v)); }
    void bind_at(int at, bool v) { bind_at(at, static_cast<std::int64_t>(v)); }
    void bind_at(int at, Duration v) { bind_at(at, v.us); }
    void bind_at(int at, WallTime v) { bind_at(at, v.us); }
    void bind_at(int at, std::nullptr_t) { sqlite3_bind_null(handle_.get(), at); }
    void bind_at(int at, Text v) {
        sqlite3_bind_text64(handle_.get(), at, v.value.empty() ? "" : v.value.data(), v.value.size(), SQLITE_STATIC,
                            SQLITE_UTF8);
    }
    void bind_at(int at, std::string_view v) {
        sqlite3_bind_blob64(handle_.get(), at, v.empty() ? "" : v.data(), v.size(), SQLITE_STATIC);
    }
    void bind_at(int at, const std::string& v) { bind_at(at, std::string_view(v)); }

    std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

// Creates the file of a database, empty, with mode 0600 when missing; tightens the mode of an existing one.
Result<void> make_private_file(const std::string& path);

enum class Access : std::uint8_t { write, read };

class Database {
public:
    Database() = default;

    // `vfs` empty = the system's. A reader never checkpoints, not even when it is the last to close.
    static Result<Database> open(const std::string& path, Access access, const std::string& vfs = {});

    Result<void> run(const char* sql);
    Result<Statement> prepare(const char* sql);
    // The single integer that a statement answers.
    Result<std::int64_t> integer(const char* sql);
    std::int64_t changes() const { return sqlite3_changes64(handle_.get()); }
    bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
    void rollback();
    sqlite3* handle() const { return handle_.get(); }
    explicit operator bool() const { return handle_ != nullptr; }

private:
    struct Close {
        void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    };
    std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace nexus::sqlite
