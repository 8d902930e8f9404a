"""The tables, as an ordered list of migrations. A migration is never edited once released: append."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE models (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        type TEXT NOT NULL CHECK (type IN ('llm', 'diffusion')),
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        record TEXT NOT NULL,            -- JSON: the rest of core.models.ModelInfo
        added_at REAL NOT NULL,
        last_used_at REAL
    );
    CREATE INDEX models_by_path ON models (path);
    CREATE TABLE model_files (
        model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        path TEXT NOT NULL,
        role TEXT NOT NULL DEFAULT '',
        size INTEGER NOT NULL,
        mtime REAL,
        sha256 TEXT,
        owned INTEGER NOT NULL DEFAULT 0,   -- 1: we downloaded it, deleting the last user deletes the file
        provenance TEXT NOT NULL DEFAULT '{}',
        PRIMARY KEY (model_id, position)
    );
    CREATE INDEX model_files_by_path ON model_files (path);

    CREATE TABLE conversations (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        system_prompt TEXT NOT NULL DEFAULT '',
        draft TEXT NOT NULL DEFAULT '',
        folder TEXT NOT NULL DEFAULT '',
        is_pinned INTEGER NOT NULL DEFAULT 0,
        leaf_id TEXT,                        -- the message the visible branch ends with
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        deleted_at REAL                      -- set: in the bin, restorable by undo
    );
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,             -- a rowid that VACUUM keeps: messages_fts points at it
        id TEXT NOT NULL UNIQUE,
        conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        parent_id TEXT,                      -- the message before it; messages of one parent are versions
        depth INTEGER NOT NULL,              -- 1 for the first message of a branch
        role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
        content TEXT NOT NULL DEFAULT '',
        reasoning TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        owner TEXT NOT NULL DEFAULT '',      -- the process that streams or holds it: "pid:create time"
        model_id TEXT NOT NULL DEFAULT '',
        extra TEXT NOT NULL DEFAULT '{}',    -- JSON: stats, finish_reason, error, images ...
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    );
    CREATE INDEX messages_by_parent ON messages (conversation_id, parent_id);
    CREATE INDEX messages_unfinished ON messages (state) WHERE state IN ('streaming', 'waiting');
    CREATE TABLE message_parts (             -- a reply while it streams: appended to, then folded into it
        seq INTEGER PRIMARY KEY,
        message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        content TEXT NOT NULL,
        reasoning TEXT NOT NULL
    );
    CREATE INDEX message_parts_by_message ON message_parts (message_id, seq);
    CREATE VIRTUAL TABLE messages_fts USING fts5 (
        content, content='messages', content_rowid='seq', tokenize='unicode61 remove_diacritics 2'
    );
    CREATE TRIGGER messages_fts_insert AFTER INSERT ON messages BEGIN
        INSERT INTO messages_fts (rowid, content) VALUES (new.seq, new.content);
    END;
    CREATE TRIGGER messages_fts_delete AFTER DELETE ON messages BEGIN
        INSERT INTO messages_fts (messages_fts, rowid, content) VALUES ('delete', old.seq, old.content);
    END;
    CREATE TRIGGER messages_fts_update AFTER UPDATE OF content ON messages
    WHEN old.content IS NOT new.content BEGIN
        INSERT INTO messages_fts (messages_fts, rowid, content) VALUES ('delete', old.seq, old.content);
        INSERT INTO messages_fts (rowid, content) VALUES (new.seq, new.content);
    END;

    CREATE TABLE gallery (
        id TEXT PRIMARY KEY,
        path TEXT NOT NULL,
        thumbnail TEXT NOT NULL DEFAULT '',
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        prompt TEXT NOT NULL,
        model_name TEXT NOT NULL DEFAULT '',
        recipe TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL,
        deleted_at REAL
    );
    CREATE INDEX gallery_newest ON gallery (created_at DESC);
    CREATE TABLE image_jobs (
        id TEXT PRIMARY KEY,
        position REAL NOT NULL,
        config TEXT NOT NULL,
        state TEXT NOT NULL,
        error TEXT NOT NULL DEFAULT '{}',
        owner TEXT NOT NULL DEFAULT '',      -- the process whose queue it is in
        created_at REAL NOT NULL
    );

    CREATE TABLE estimates (
        key TEXT PRIMARY KEY,                -- what the measurement holds for
        value TEXT NOT NULL,
        updated_at REAL NOT NULL
    );
    CREATE TABLE verdicts (
        key TEXT PRIMARY KEY,                -- engine, path, size, mtime: a changed binary is a new key
        value TEXT NOT NULL,
        updated_at REAL NOT NULL
    );
    CREATE TABLE events (
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        label TEXT NOT NULL
    );
    CREATE INDEX events_by_time ON events (time);
    """,
)
SCHEMA_VERSION = len(MIGRATIONS)
