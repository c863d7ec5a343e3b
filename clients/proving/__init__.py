"""What `make prove` is made of: rides on a real deployment, measured and judged.

- `plan.py`: what each ride does, and when. The seed decides it before anything begins, so it can be repeated.
- `ride.py`: one ride. Two devices and the company carry out the plan; at the end the ride asks the API what is stored.
- `device.py`: one phone on a real WebSocket. It heals as the contract says. `view.py` is what it knows, and pure.
- `history.py`: what each client asked, was told and knew. The chaos tests write the same history.
- `checker.py`: judges a history by what the contract promises, and knows nothing of how the promises are kept.
- `measures.py` and `report.py`: times, errors and prices, and the report of them.

clients/prove.py is the command: it asks, runs the rides, calls the checker and writes the report.
"""
