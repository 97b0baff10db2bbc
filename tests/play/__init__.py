"""Play the deploy files, each by its own platform's rules, on this machine: `scripts/play --help`.

A form's module (`render`, `compose`, `systemd`, `dockerfile`, `procfile`) reads its file and says
what the platform would run; `boxes` stands in for the container engine, `stage` starts it all,
looks from outside, and stops it as the platform does.
"""
