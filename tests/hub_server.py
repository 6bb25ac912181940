"""A hub in memory: repositories with revisions, behind the parts of the hub's API that we use."""

import base64
import hashlib
import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories by name: files by commit, and commits by branch."""

    def __init__(self):
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, dict[str, str]] = defaultdict(dict)
        self.private: dict[str, bool] = {}
        self.refuses = False

    def commit(self, repo, branch, files):
        number = hashlib.sha1(f"{repo}{len(self.commits)}".encode()).hexdigest()
        before = self.commits.get(self.branches[repo].get(branch, ""), {})
        self.commits[number] = {**before, **files}
        self.branches[repo][branch] = number
        return number

    def find(self, repo, revision):
        number = self.branches[repo].get(revision, revision)
        return number if number in self.commits else None


def serve():
    """A running hub and its address; call ``shutdown`` of the third."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body=b"", headers=()):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            if hub.refuses:
                return self.answer(403, {"error": "you may not"})
            if parts == ["api", "repos", "create"]:
                wanted = json.loads(body)
                repo = f"{wanted['organization']}/{wanted['name']}"
                if repo in hub.private:
                    return self.answer(409, {"url": repo})
                hub.private[repo] = wanted.get("visibility") == "private" or wanted.get("private", False)
                hub.commit(repo, "main", {".gitattributes": b""})
                return self.answer(200, {"url": f"http://{self.headers['Host']}/{repo}"})
            if parts == ["api", "validate-yaml"]:
                return self.answer(200, {"errors": [], "warnings": []})
            repo, action, revision = "/".join(parts[2:4]), parts[4], parts[5]
            if action == "branch":
                hub.branches[repo][revision] = hub.branches[repo]["main"]
                return self.answer(200, {})
            if action == "preupload":
                files = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
                return self.answer(200, {"files": modes})
            assert action == "commit", self.path
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            number = hub.commit(repo, revision, files)
            url = f"http://{self.headers['Host']}/{repo}/commit/{number}"
            return self.answer(200, {"commitUrl": url, "commitOid": number, "pullRequestUrl": None})

        def do_GET(self):
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            missing = [("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "there is none")]
            if parts[0] == "api":
                repo, action = "/".join(parts[2:4]), parts[4] if len(parts) > 4 else "revision"
                number = hub.find(repo, parts[5] if len(parts) > 5 else "main")
                if number is None:
                    return self.answer(404, {}, missing)
                files = hub.commits[number]
                if action == "tree":
                    return self.answer(
                        200,
                        [
                            {
                                "type": "file",
                                "path": name,
                                "size": len(data),
                                "oid": hashlib.sha1(data).hexdigest(),
                            }
                            for name, data in files.items()
                        ],
                    )
                return self.answer(
                    200, {"id": repo, "sha": number, "siblings": [{"rfilename": name} for name in files]}
                )
            repo, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            number = hub.find(repo, revision)
            if number is None or name not in hub.commits[number]:
                return self.answer(404, {}, missing)
            data = hub.commits[number][name]
            headers = [("X-Repo-Commit", number), ("ETag", f'"{hashlib.sha1(data).hexdigest()}"')]
            return self.answer(200, data, headers)

        def do_HEAD(self):
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return hub, f"http://127.0.0.1:{server.server_port}", server
