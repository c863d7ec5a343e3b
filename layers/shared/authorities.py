"""authorities.py LIST FOLDER: the certificates of LIST (PEM) in FOLDER, each under the name that OpenSSL looks for.

A TLS context with such a folder (`capath`) reads the one certificate that it needs, instead of the whole list. Where
there is no openssl to work the names out, no folder is made, and the functions read a list at their start as before.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)


def hashed(pem: str, folder: Path) -> int:
    """Writes every certificate of `pem` to `folder`; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = Counter[str]()
    for certificate in CERTIFICATE.findall(pem):
        asked = ["openssl", "x509", "-noout", "-hash"]
        name = subprocess.run(asked, input=certificate, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
        (folder / f"{name}.{seen[name]}").write_text(certificate, "ascii")
        seen[name] += 1
    return seen.total()


if __name__ == "__main__":
    if shutil.which("openssl"):
        hashed(Path(sys.argv[1]).read_text("utf-8"), Path(sys.argv[2]))
    else:
        print("There is no openssl here: the functions will read the whole list of authorities", file=sys.stderr)
