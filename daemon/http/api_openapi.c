/* The description of the interface, from the route table, and the embedded files.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "daemon/http/assets.h"

const struct at_asset *at_asset_find(const char *name)
{
    for (const struct at_asset *a = at_assets; a->name; a++)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}

void at_api_asset(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    const struct at_asset *a = at_asset_find(q->path);
    if (!a) {
        at_reply_error(r, 404, "not_found", "no such file");
        return;
    }
    if (!strncmp(r->headers.type, "text/", 5))
        r->headers.type = !strcmp(r->headers.type, "text/html")  ? "text/html; charset=utf-8"
                          : !strcmp(r->headers.type, "text/css") ? "text/css; charset=utf-8"
                                                                 : "text/javascript; charset=utf-8";
    r->headers.cache_control = "no-cache";
    r->asset = a->data;
    r->asset_n = a->n;
}

static json_t *parameters_json(const struct at_route *route)
{
    json_t *list = json_array();
    if (strchr(route->path, '{'))
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", "id", "in",
                                              "path", "required", 1, "schema", "type", "string"));
    for (const struct at_param_doc *p = route->params; p->name; p++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", p->name, "in",
                                              "query", "required", (int)p->required, "description",
                                              p->doc, "schema", json_loads(p->schema, 0, NULL)));
    return list;
}

static json_t *content_json(const char *type, const char *schema)
{
    char ref[96];
    json_t *s;
    snprintf(ref, sizeof ref, "#/components/schemas/%s", schema ? schema : "");
    if (schema)
        s = json_pack("{s:s}", "$ref", ref);
    else
        s = json_pack("{s:s}", "type", strcmp(type, "application/json") ? "string" : "object");
    return json_pack("{s:{s:o}}", type, "schema", s);
}

static json_t *refusal_json(const char *code, const char *schema)
{
    return json_pack("{s:s, s:o}", "description", *code == '5' ? "Not now" : "Refused", "content",
                     content_json("application/json", schema));
}

/* Any route may refuse who asks (401, 403); the others are the route's own. */
static json_t *responses_json(const struct at_route *route)
{
    json_t *content = content_json(route->type, route->schema), *other = NULL;
    if (route->other_type)
        other = content_json(route->other_type, NULL);
    json_object_update(content, other);
    json_decref(other);
    json_t *o =
        json_pack("{s:{s:s, s:o}}", "200", "description", route->summary, "content", content);
    char codes[32];
    snprintf(codes, sizeof codes, "%s", route->statuses);
    for (char *save = NULL, *code = strtok_r(codes, ",", &save); code;
         code = strtok_r(NULL, ",", &save)) {
        bool health = route->schema && !strcmp(route->schema, "Health");
        json_object_set_new(o, code, refusal_json(code, health ? "Health" : "Error"));
    }
    json_object_set_new(o, "401", refusal_json("401", "Error"));
    json_object_set_new(o, "403", refusal_json("403", "Error"));
    return o;
}

static json_t *operation_json(const struct at_route *route)
{
    const char *method = !route->method ? "get" : !strcmp(route->method, "POST") ? "post" : "patch";
    json_t *o = json_pack("{s:s, s:o, s:o}", "summary", route->summary, "parameters",
                          parameters_json(route), "responses", responses_json(route));
    if (route->body_type && !strcmp(route->body_type, "application/json"))
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b, s:o}", "required", 1, "content",
                                      content_json(route->body_type, route->schema)));
    else if (route->body_type)
        json_object_set_new(
            o, "requestBody",
            json_pack("{s:b, s:{s:{}}}", "required", 1, "content", route->body_type));
    if (route->changes)
        json_object_set_new(o, "security", json_pack("[{s:[]}]", "bearer"));
    return json_pack("{s:o}", method, o);
}

/* Who may ask (daemon/http/access.c). */
static json_t *schemes_json(void)
{
    return json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}", "bearer", "type", "http", "scheme",
                     "bearer", "description",
                     "A token: needed off loopback, and for what changes something everywhere",
                     "basic", "type", "http", "scheme", "basic", "description",
                     "A browser's login: a token as password, any name; it may only read");
}

void at_api_openapi(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    const struct at_asset *schemas = at_asset_find("schemas.json");
    json_t *paths = json_object();
    for (size_t i = 0; i < at_routes_n; i++)
        json_object_set_new(paths, at_routes[i].path, operation_json(&at_routes[i]));
    json_t *root = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:o, s:[{}, {s:[]}, {s:[]}], s:{s:o, s:o}}", "openapi",
        "3.1.0", "info", "title", "attuned", "version", AT_VERSION, "description",
        "Live radio classification: radios, emissions, decisions, backends.", "license", "name",
        "GPL-3.0-or-later", "paths", paths, "security", "bearer", "basic", "components", "schemas",
        json_loadb((const char *)schemas->data, schemas->n, 0, NULL), "securitySchemes",
        schemes_json());
    at_reply_json(r, 200, root);
}
