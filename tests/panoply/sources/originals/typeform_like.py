"""
Answers to forms, page by page, newest first.
"""
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import panoply

BASE_URL = os.environ.get('TYPEFORM_LIKE_URL', 'https://api.typeform-like.example')
DESTINATION = 'typeform_{__table}'
BATCH_SIZE = 1000
MAX_TRIES = 5
PAUSE = 0.02


class Unauthorized(Exception):
    pass


def get_forms(source):
    request = urllib.request.Request(BASE_URL + '/forms')
    request.add_header('Authorization', 'Bearer ' + source['access_token'])
    with urllib.request.urlopen(request, timeout=10) as response:
        forms = json.loads(response.read().decode('utf-8'))['items']
    return [{'name': form['title'], 'value': form['id']} for form in forms]


class TypeformLike(panoply.DataSource):

    def __init__(self, source, options={}):
        super(TypeformLike, self).__init__(source, options)
        if not source.get('destination'):
            source['destination'] = DESTINATION
        self.forms = [form['value'] for form in source['forms']]
        self.total = len(self.forms)
        self.before = None

    def read(self, n=None):
        if not self.forms:
            return None
        form = self.forms[0]
        loaded = self.total - len(self.forms)
        self.progress(loaded, self.total, '%s of %s forms loaded' % (loaded, self.total))
        items = self._page(form)
        if len(items) < BATCH_SIZE:
            self.forms.pop(0)
            self.before = None
        else:
            self.before = items[-1]['token']
        for item in items:
            item['__table'] = form
        return items

    def _page(self, form):
        params = {'page_size': BATCH_SIZE}
        if self.before:
            params['before'] = self.before
        tries = 0
        while True:
            tries += 1
            try:
                return self._request('/forms/%s/responses' % form, params)['items']
            except (urllib.error.URLError, ConnectionError) as e:
                if isinstance(e, urllib.error.HTTPError):
                    e.close()
                if tries == MAX_TRIES:
                    raise
                self.log('try %s failed' % tries, form, e)
                time.sleep(PAUSE * tries)

    @panoply.validate_token(BASE_URL + '/oauth/token', Unauthorized, 'on_token')
    def _request(self, path, params):
        url = BASE_URL + path + '?' + urllib.parse.urlencode(params)
        request = urllib.request.Request(url)
        request.add_header('Authorization', 'Bearer ' + self.source['access_token'])
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.loads(response.read().decode('utf-8'))
        except urllib.error.HTTPError as e:
            if e.code == 401:
                e.close()
                raise Unauthorized()
            if e.code == 404:
                e.close()
                raise panoply.errors.PanoplyException('there is no form at %s' % path, retryable=False)
            raise

    def on_token(self, token):
        self.log('there is a new access token')


Stream = TypeformLike

CONFIG = {
    'title': 'Typeform-like',
    'icon': 'data:image/svg+xml;base64,PHN2Zy8+',
    'categories': ['APIS'],
    'params': [
        {
            'name': 'access_token',
            'type': 'oauth',
            'oauthAuthorizeURL': BASE_URL + '/oauth/authorize',
            'oauthAccessURL': BASE_URL + '/oauth/token',
            'required': True,
        },
        {
            'name': 'forms',
            'title': 'Forms',
            'type': 'list',
            'dependencies': ['access_token'],
            'values': get_forms,
            'required': True,
        },
    ],
}
