"""
Tables of figures published as CSV files, one resource after the other.
"""
import csv
import io
import itertools
import urllib.request

import panoply

BATCH_SIZE = 200


class OcrLike(panoply.DataSource):

    def __init__(self, source, options):
        super(OcrLike, self).__init__(source, options)
        if 'destination' not in source:
            source['destination'] = source['type']
        self.urls = list(source['urls'])
        self.response = None
        self.reader = None
        self.loaded = 0

    def read(self):
        rows = []
        while not rows:
            if self.reader is None:
                if not self.urls:
                    return None
                self._open(self.urls.pop(0))
            rows = list(itertools.islice(self.reader, BATCH_SIZE))
            if not rows:
                self.close()
        self.loaded += len(rows)
        self.progress(self.loaded, None, '%s rows loaded' % self.loaded)
        return rows

    def _open(self, url):
        self.log('opening', url)
        self.response = urllib.request.urlopen(url, timeout=10)
        self.reader = csv.DictReader(io.TextIOWrapper(self.response, encoding='utf-8', newline=''))

    def close(self):
        if self.response is not None:
            self.response.close()
        self.response = None
        self.reader = None


Stream = OcrLike

CONFIG = {
    'title': 'OCR-like',
    'icon': 'data:image/svg+xml;base64,PHN2Zy8+',
    'params': [{'name': 'urls', 'title': 'Addresses of the files', 'type': 'list', 'required': True}],
}
