"""
Every table of a database, one cursor after the other.
"""
import sqlite3
import uuid

import panoply

DESTINATION = 'postgres_{__tablename}'
BATCH_SIZE = 5000
MAX_TRIES = 5


def connect(source):
    return sqlite3.connect('file:%s?mode=ro' % source['database'], uri=True)


def get_tables(source):
    conn = connect(source)
    try:
        names = conn.execute("select name from sqlite_master where type = 'table' order by name").fetchall()
    finally:
        conn.close()
    return [{'name': name, 'value': 'main.' + name} for name, in names]


class PostgresLike(panoply.DataSource):

    def __init__(self, source, options):
        super(PostgresLike, self).__init__(source, options)
        if 'destination' not in source:
            source['destination'] = DESTINATION
        self.batch_size = source.get('__batchSize', BATCH_SIZE)
        self.tables = [table['value'] for table in source['tables']]
        # where an earlier run has got to
        state = source.pop('state', None) or {}
        self.index = state.get('last_index', 0)
        self.conn = connect(source)
        self.conn.row_factory = sqlite3.Row
        self.cursor = None
        self.loaded = 0

    def read(self, batch_size=None):
        total = len(self.tables)
        if self.index >= total:
            return None
        schema, table = self.tables[self.index].split('.', 1)
        self.progress(self.index, total, 'reading %s, table %s of %s' % (table, self.index + 1, total))

        if self.cursor is None:
            self.cursor = self.execute('select * from "%s"."%s"' % (schema, table))
        rows = self.cursor.fetchmany(batch_size or self.batch_size)

        state_id = str(uuid.uuid4())
        self.state(state_id, {'last_index': self.index})
        if not rows:
            self.log('finished', table)
            self.cursor.close()
            self.cursor = None
            self.index += 1
            return []

        self.loaded += len(rows)
        more = {'__schemaname': schema, '__tablename': table, '__state': state_id}
        return [dict(dict(row), **more) for row in rows]

    def execute(self, query):
        for tries in range(1, MAX_TRIES + 1):
            try:
                return self.conn.execute(query)
            except sqlite3.OperationalError as e:
                if 'no such table' in str(e):
                    raise panoply.PanoplyException(str(e), retryable=False)
                if tries == MAX_TRIES:
                    raise
                self.log('try %s failed' % tries, e)

    def close(self):
        if self.cursor is not None:
            self.cursor.close()
            self.cursor = None
        self.conn.close()


Stream = PostgresLike

CONFIG = {
    'title': 'Postgres-like',
    'icon': 'data:image/svg+xml;base64,PHN2Zy8+',
    'categories': ['DB'],
    'params': [
        {'name': 'database', 'title': 'File', 'required': True},
        {
            'name': 'tables',
            'title': 'Tables',
            'type': 'list',
            'dependencies': ['database'],
            'values': get_tables,
            'required': True,
        },
    ],
}
