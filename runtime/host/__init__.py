"""Run Nexus on this machine: embedded servers, and the supervisor that keeps processes alive.

Nothing here knows what Nexus does; it knows how programs start, when they are ready, and how they
end. The map: `servers` says which programs there are, `keeper` keeps one of them alive,
`supervisor` starts and stops them in order, `stack` tells other terminals where they are.
"""
