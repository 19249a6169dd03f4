import time
from retail_analytics_tests.integration.lakes import *
def test_trial(lake):
    t=time.time()
    lake.put(HOUR,[line(1,Description='a|b\n\\c"'),line(2), '{"x"', line(3,Quantity="6.0")])
    r=lake.compact_one()
    print(time.time()-t); print(r); print(lake.select("compacted")); print(lake.rejects())
    from retail_analytics.batch import metadata
    print(metadata.of_hour(r,lake.feed,lake.settings)["preview"].value)
    for table in tables.all_tables(lake.feed,lake.settings): 
        t=time.time(); lake.select("compacted","count(*) as n"); print(time.time()-t)
