"""The fields of every kind of object, with ordinary values.

Contract: datorama section 7 and its captures. Times are milliseconds, and set when an object is made.
"""

from __future__ import annotations

from typing import Any

__all__ = ["API_CONFIG", "FIELDS", "REFERENCE", "STREAM_OWNED"]

Fields = dict[str, Any]

API_CONFIG: Fields = {
    "externalIdentifier": "123450001",
    "name": "acme.example - main (123450001)",
    "getExtendedProperties": True,
    "locationBreakdown": "COUNTRY",
    "selectedObjects": [],
    "allowDelete": None,
    "oldestDate": None,
    "parentExternalIdentifier": None,
    "parentName": None,
    "currency": "EUR",
    "accountId": "5550001",
    "profileId": "123450001",
    "webPropertyId": "UA-5550001-1",
    "profileName": "main",
    "websiteUrl": "acme.example",
    "getCampaigns": True,
    "getKeywords": False,
    "getGoals": False,
    "getEvents": False,
    "getPages": True,
    "getEventLabelDimension": False,
    "mapAsDeliveryEntities": True,
    "pageLevels": "2",
}

_HISTORY: Fields = {
    "createUserId": 5001,
    "createUser": "Ada Example",
    "createTime": 0,
    "updateUserId": 5001,
    "updateUser": "Ada Example",
    "updateTime": 0,
}

_WORKSPACE: Fields = {
    "name": "",
    "accountId": 9001,
    "verticalId": 12,
    "currencyId": 3,
    "accountCurrencyId": 1,
    "cultureId": 7,
    "timezoneId": 44,
    "colorSchemeId": 2,
    "dashboardThemeId": 1,
    "executiveWorkspace": False,
    "subWorkspaces": [],
    "visibleBuckets": ["ADS", "WEB_ANALYTICS"],
    "costCenterEnabled": False,
    "customCalendarEnabled": False,
    "customLocationEnabled": False,
    "applyBlindPeriods": False,
    "archivingEnabled": False,
    "liteConnectEnabled": True,
    "workflowsEnabled": True,
    "actionCenterEnabled": False,
    "balanceBudgetToolEnabled": False,
    "hourlyProcessingAllowed": False,
    **_HISTORY,
}

_STREAM: Fields = {
    "name": "",
    "dataSourceId": 1,
    "dataSourceName": "Google Analytics",
    "sourceDisplayName": "Google Analytics",
    "workspaceId": 0,
    "parentInstanceId": None,
    "channelId": 88001,
    "dataSourceAuthenticationId": 61001,
    "email": None,
    "description": None,
    "config": API_CONFIG,
    "dataLoadMode": "REPLACE",
    "dataLoadRulesConfig": "[]",
    "dataLoadRules": [],
    "enabled": True,
    "createTime": 0,
    "lastUpdate": 0,
    "lastRunStatus": True,
    "daysWithoutData": 0,
    "originalDataStreamId": None,
    "originalId": None,
    "dimensionOnly": False,
    "enableSlowlyChangingDimension": False,
    "hasData": False,
    "retrievalEnabled": False,
    "retrievalPeriodType": "DAILY",
    "retrievalPeriodData": None,
    "retrievalPeriodHour": None,
    "lagInDays": 1,
    "retrievalNextDate": 1767250800000,
    "retrievalDeliveryMethod": None,
    "retrievalDeliveryMethodDetails": None,
    "retrievalRNDOnly": False,
    "ignoreEmptyRows": True,
    "fileWildcard": None,
    "initRuleAfterUpdate": True,
    "slidingWindow": None,
    "defaultSlidingWindow": 1,
    "defaultFetchDaySpan": 10,
    "fetchDaySpan": None,
    "templateId": None,
    "lastDataDate": None,
    "enableHourlyBreakdown": False,
    "pendingStatsCount": 0,
    "processStatsCounts": 0,
    "processedRows": 4211,
    "lastRowsRetrieved": 4300,
    "customAttribute1": "",
    "customAttribute2": "",
    "customAttribute3": "",
    "overrideHierarchies": False,
    "useCultureSettings": False,
    "allowHourlyProcessing": False,
    "dataPreviewPageId": None,
    "deletePreviousDimensionData": False,
    "runOnlyAsPartOfWorkflow": False,
    "enableParallelRun": True,
    "oneClickTemplateId": None,
}

#: What the platform itself keeps about a stream's runs; ignored on write, beside the history fields.
STREAM_OWNED = frozenset(
    {
        "lastRunStatus", "daysWithoutData", "hasData", "lastDataDate", "pendingStatsCount", "processStatsCounts",
        "processedRows", "lastRowsRetrieved",
    }
)  # fmt: skip

_MODEL: Fields = {"name": "", "workspaceId": 0, "originalId": None, **_HISTORY}

#: By the word that names the kind in paths.
FIELDS: dict[str, Fields] = {
    "accounts": {"name": "", "cultureId": 7, "currencyId": 1, "timezoneId": 44, **_HISTORY},
    "workspaces": _WORKSPACE,
    "data-streams": _STREAM,
    "calculated-measurements": {**_MODEL, "formula": "Clicks / Impressions", "measurementType": "NUMBER"},
    "filtered-measurements": {**_MODEL, "measurement": "DELIVERY_CLICKS", "filters": []},
    "calculated-dimensions": {**_MODEL, "formula": "", "dimensionType": "TEXT"},
    "data-fusions": {**_MODEL, "active": True},
    "harmonized-dimensions": {"name": "", "workspaceId": 0},
    "patterns": {"name": "", "workspaceId": 0, "harmonizedDimensionId": 2201},
    "users": {
        "accountId": 9001,
        "currentAccountId": 9001,
        "languageId": 1,
        "email": "",
        "name": "",
        "permissionSetId": None,
        **_HISTORY,
    },
    "permission-sets": {"name": "", "accountId": 9001, "workspaceId": None, "role": "ACCOUNT_EDITOR", **_HISTORY},
    "authentications": {"name": "", "accountId": 9001, "workspaceId": 0, "dataSourceId": 1, **_HISTORY},
    "dashboards": {"name": "", "workspaceId": 0, "dashboardThemeId": 1, "originalId": None, **_HISTORY},
    "pages": {
        "name": "",
        "workspaceId": 0,
        "dashboardId": 0,
        "themeId": 1,
        "sourceTemplateId": None,
        "appInstanceId": None,
        "widgets": [],
        **_HISTORY,
    },
    "reports": {
        "name": "",
        "workspaceId": 0,
        "dashboardId": None,
        "pageId": None,
        "widgetId": None,
        "originalId": None,
        "exportFileName": None,
        "exportFormat": "CSV",
        "shared": False,
        "active": True,
        "includeHeaders": True,
        "compressed": False,
        "config": None,
        **_HISTORY,
    },
    "report-schedulers": {"name": "", "reportId": 0, "active": True, "frequency": "DAILY", **_HISTORY},
}

REFERENCE: dict[str, list[Fields]] = {
    "time-zones": [{"id": 44, "name": "Europe/Berlin"}, {"id": 1, "name": "UTC"}],
    "currencies": [{"id": 1, "name": "US Dollar", "code": "USD"}, {"id": 3, "name": "Euro", "code": "EUR"}],
    "cultures": [{"id": 7, "name": "English (United Kingdom)"}],
    "verticals": [{"id": 12, "name": "Retail"}],
    "data-sources": [
        {"id": 1, "name": "Google Analytics"},
        {"id": 2, "name": "DFA"},
        {"id": 3, "name": "Facebook Insights"},
        {"id": 4, "name": "YouTube"},
        {"id": 5, "name": "AdWords"},
        {"id": 6, "name": "Facebook Ads"},
        {"id": 13, "name": "Bing Ads"},
        {"id": 17, "name": "Twitter Ads"},
    ],
    "languages": [{"id": 1, "name": "English"}],
}
