"""OpenStack Swift with its S3 interface, as one process on loopback: proxy, account, container and object server, one
device, no replication. It runs in a virtual environment of its own, which has Swift and nothing of this project.

    python swift_server.py FOLDER PORT ACCESS SECRET
"""

from __future__ import annotations

import os
import sys

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi as eventlet_wsgi  # noqa: E402
from swift.account.server import AccountController  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402

PROXY = """
[DEFAULT]
swift_dir = {folder}
user = {user}
log_level = WARNING

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
object_post_as_copy = false

[filter:tempauth]
use = egg:swift#tempauth
user_{access} = {secret} .admin

[filter:s3api]
use = egg:swift#s3api
s3_acl = false
check_bucket_owner = false
location = us-east-1
min_segment_size = 5242880

[filter:slo]
use = egg:swift#slo
rate_limit_after_segment = 1000000

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
"""


def main(folder: str, port: int, access: str, secret: str) -> None:
    devices = os.path.join(folder, "devices")
    os.makedirs(os.path.join(devices, "sda"), exist_ok=True)
    with open(os.path.join(folder, "swift.conf"), "w") as file:
        file.write("[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n")
        file.write("[storage-policy:0]\nname = only\ndefault = yes\n")
    utils.SWIFT_CONF_FILE = os.path.join(folder, "swift.conf")
    utils.validate_hash_conf()
    from swift.common import storage_policy

    storage_policy.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE
    storage_policy.reload_storage_policies()
    listening = {name: eventlet.listen(("127.0.0.1", 0)) for name in ("account", "container", "object")}
    for name, sock in listening.items():
        builder = RingBuilder(1, 1, 0)
        builder.add_dev(
            {
                "id": 0,
                "region": 1,
                "zone": 1,
                "ip": "127.0.0.1",
                "port": sock.getsockname()[1],
                "device": "sda",
                "weight": 1,
            }
        )
        builder.rebalance()
        builder.get_ring().save(os.path.join(folder, f"{name}.ring.gz"))
    config = {"swift_dir": folder, "devices": devices, "mount_check": "false", "disable_fallocate": "true"}
    logger = utils.get_logger({"log_level": "WARNING"}, log_to_console=True)
    apps = {
        "account": AccountController(config, logger=logger),
        "container": ContainerController(config, logger=logger),
        "object": ObjectController(config, logger=logger),
    }
    for name, sock in listening.items():
        eventlet.spawn(eventlet_wsgi.server, sock, apps[name], logger, protocol=SwiftHttpProtocol, log_output=False)
    path = os.path.join(folder, "proxy-server.conf")
    with open(path, "w") as file:
        file.write(PROXY.format(folder=folder, user="root", access=access.replace(":", "_"), secret=secret))
    proxy = loadapp(path, global_conf={"log_name": "proxy"})
    sock = eventlet.listen(("127.0.0.1", port), backlog=100)
    eventlet_wsgi.server(sock, proxy, logger, protocol=SwiftHttpProtocol, log_output=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
